//! The simulator's pages in a real browser: they open without a complaint, ask the network for nothing,
//! answer to keys, and fit a desk and a phone, by day and by night. Pictures are left in `target/tmp`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sleep_tests::browser::Browser;
use sleep_tests::process::binary;
use sleep_tests::wait::try_until;
use sleep_tests::{Error, Result};
use tempfile::TempDir;

const DESK: (u32, u32) = (1280, 1600);
const PHONE: (u32, u32) = (390, 1400);
const SOON: Duration = Duration::from_secs(10);

/// WebDriver's names of keys.
const RIGHT: &str = "\u{e014}";
const LEFT: &str = "\u{e012}";
const END: &str = "\u{e010}";
const HOME: &str = "\u{e011}";

/// Clocks that no lease allows for, so that two hold it at once.
const BROKEN: &str = r#"
name = "clocks that no lease allows for"
lasts = "2m"
growth-wait = "1s"

[[node]]
name = "a"
clock-ppm = -400000
[[node]]
name = "b"
clock-ppm = 400000
[[node]]
name = "c"
clock-ppm = 400000
[[node]]
name = "d"
[[node]]
name = "e"
clock-ppm = 400000

[[service]]
name = "web"
replicas = 6

[[fault]]
at = "10s"
what = "isolate-leader"
lasts = "9s"
"#;

#[test]
fn the_page_of_a_run_answers_to_keys() -> Result<()> {
    let folder = folder()?;
    let page = made(folder.path(), "report", &["--scenario", "leader-in-the-minority"], 0)?;
    let browser = Browser::start()?;
    browser.look(DESK, false)?;
    browser.open(&page)?;
    assert_eq!(browser.text("h1")?, "the leader is on the smaller side");
    assert!(browser.text(".verdict")?.starts_with("Well"), "{}", browser.text(".verdict")?);

    let moment = || browser.value("Number(document.getElementById('at').value)").map(|it| it.as_f64());
    let began = moment()?;
    browser.press("#at", RIGHT)?;
    let later = moment()?;
    assert!(later > began, "{later:?} after {began:?}");
    browser.press("#at", LEFT)?;
    assert_eq!(moment()?, began);

    // The fault, then who noticed it, then the next leader: each node tells of it.
    browser.press("#at", HOME)?;
    assert_eq!(moment()?, Some(0.0));
    until(&browser, "node1 is cut off", || {
        browser.press("#at", "]")?;
        Ok(browser.text("#seen")?.contains("cut off"))
    })?;
    until(&browser, "all but the one that is cut off follow another", || {
        browser.press("#at", RIGHT)?;
        Ok(browser.text("#seen")?.matches("term 2").count() == 4)
    })?;
    browser.press("#at", END)?;
    until(
        &browser,
        "all follow it in the end",
        || Ok(browser.text("#seen")?.matches("term 2").count() == 5),
    )?;

    browser.click("#in")?;
    let shown = browser.value("document.getElementById('at').max - document.getElementById('at').min")?;
    browser.press("#at", "0")?;
    let whole = browser.value("document.getElementById('at').max - document.getElementById('at').min")?;
    assert!(shown.as_f64() < whole.as_f64(), "{shown} of {whole}");
    pictures(&browser, "report")?;
    silent(&browser, &page)
}

#[test]
fn a_broken_law_is_flagged_with_what_came_before() -> Result<()> {
    let folder = folder()?;
    let scenario = folder.path().join("broken.toml");
    fs::write(&scenario, BROKEN).map_err(Error::on(&scenario))?;
    let page = made(folder.path(), "report", &["--scenario", &scenario.display().to_string()], 4)?;
    let browser = Browser::start()?;
    browser.look(DESK, true)?;
    browser.open(&page)?;
    assert!(browser.text(".verdict")?.starts_with("one_holder"), "{}", browser.text(".verdict")?);
    assert!(browser.text("#causes")?.contains("the leader is cut off"), "{}", browser.text("#causes")?);
    assert_eq!(browser.text("#plot .flagged + text")?, "one_holder");
    pictures(&browser, "broken")?;
    silent(&browser, &page)
}

#[test]
fn the_page_of_a_suite_has_a_row_a_run() -> Result<()> {
    let folder = folder()?;
    let page = made(folder.path(), "suite", &["--seeds", "1..3"], 0)?;
    let browser = Browser::start()?;
    browser.look(DESK, false)?;
    browser.open(&page)?;
    assert_eq!(browser.text(".verdict")?, "All are well");
    let table = browser.text("tbody")?;
    for row in ["seed 1", "seed 2", "split-2-1"] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{row}: {table}");
    }
    pictures(&browser, "suite")?;
    silent(&browser, &page)
}

fn folder() -> Result<TempDir> {
    TempDir::new().map_err(|error| Error::new(format!("a temporary folder: {error}")))
}

/// The page that the simulator makes, which must end with this code.
fn made(folder: &Path, what: &str, with: &[&str], code: i32) -> Result<PathBuf> {
    let page = folder.join(format!("{what}.html"));
    let mut command = Command::new(binary("sleep-sim")?);
    let ended = command.arg(what).args(with).arg("-o").arg(&page).output();
    let ended = ended.map_err(|error| Error::new(format!("sleep-sim {what}: {error}")))?;
    if ended.status.code() != Some(code) {
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        return Err(Error::new(format!("sleep-sim {what} {with:?}: {}: {said}", ended.status)));
    }
    let bytes = fs::metadata(&page).map_err(Error::on(&page))?.len();
    assert!(bytes <= 1_000_000, "{bytes} bytes");
    Ok(page)
}

fn until(browser: &Browser, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let ended = try_until(what, SOON, || Ok(holds()?.then_some(())));
    let seen = || browser.text("#seen").unwrap_or_default();
    ended.map_err(|error| Error::new(format!("{error}\n{}", seen())))
}

/// By day and by night, on a desk and on a phone, where nothing may stand out at the side.
fn pictures(browser: &Browser, name: &str) -> Result<()> {
    for (size, place) in [(DESK, "desk"), (PHONE, "phone")] {
        for (dark, light) in [(false, "day"), (true, "night")] {
            browser.look(size, dark)?;
            let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{place}-{light}.png"));
            let bytes = browser.picture(&to)?;
            assert!(bytes > 20_000, "{} is empty: {bytes} bytes", to.display());
            let out = browser.value("document.documentElement.scrollWidth - innerWidth")?;
            assert_eq!(out.as_i64(), Some(0), "{place}, {light}: so many pixels stand out at the side");
        }
    }
    Ok(())
}

/// The page complained of nothing, and asked for nothing but itself.
fn silent(browser: &Browser, page: &Path) -> Result<()> {
    assert_eq!(browser.console()?, Vec::<String>::new());
    let own = format!("file://{}", page.display());
    let foreign = |address: &String| *address != own && !address.starts_with("data:");
    assert_eq!(browser.requests()?.into_iter().filter(foreign).collect::<Vec<_>>(), Vec::<String>::new());
    Ok(())
}
