//! Style as a test: what it refuses it names by line, with what to write instead.
//!
//! Files that exceed a limit of size stand in `tests/ratchet.toml` with the size they have. They may shrink,
//! and are then entered with what they have become; they may not grow. The test prints the file as it should
//! be.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sleep_tests::house;
use sleep_tests::source::{Source, lines_with_word};

/// How large a file may be.
const LIMITS: Size = Size { code: 400, lines: 600, function: 70 };

/// The files that exceed a limit.
const RATCHET: &str = "tests/ratchet.toml";

/// The files that wait on the clock, for what the system offers no better way to wait for.
const WAITING_ROOM: &str = "wait.rs";

/// Words that promise work instead of doing it, spelled so that this file does not hold them.
const PROMISES: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

struct Rule {
    name: &'static str,
    instead: &'static str,
    /// Whether it holds for every text file, or for Rust alone.
    everywhere: bool,
    /// The lines at fault, counted from 1.
    find: fn(&Source) -> Vec<usize>,
    /// Paths and texts that it must refuse, and that it must let pass.
    bad: &'static [(&'static str, &'static str)],
    good: &'static [(&'static str, &'static str)],
}

const RULES: &[Rule] = &[
    Rule {
        name: "a line is at most 110 characters wide",
        instead: "break it: `cargo fmt` does for code, `cargo wrap` for comments",
        everywhere: false,
        find: |source| {
            lines_where(&source.text, |line| line.chars().count() > house::WIDTH && !line.contains("://"))
        },
        bad: &[(
            "a.rs",
            concat!(
                "// five thousand four hundred and thirty-two is what a line of this length is ",
                "worth to nobody at all, I should say"
            ),
        )],
        good: &[("a.rs", "// this one is short enough for two files side by side")],
    },
    Rule {
        name: "a file says first what question it answers",
        instead: "begin with `//!`: the question, the invariants, and what is not here",
        everywhere: false,
        find: |source| if begins_with_docs(&source.text) { vec![] } else { vec![1] },
        bad: &[("a.rs", "use core::fmt;\n//! Too late.\n"), ("a.rs", "fn a() {}\n"), ("a.rs", "")],
        good: &[("a.rs", "//! Who leads.\n"), ("lib.rs", "#![no_std]\n\n//! Who leads.\n")],
    },
    Rule {
        name: "names of sources are lower case",
        instead: "name it as its `mod` is named: letters, digits and `_`",
        everywhere: false,
        find: |source| if lower_case(&source.path) { vec![] } else { vec![1] },
        bad: &[("agent/core/src/Lease.rs", ""), ("agent/core/src/the-lease.rs", "")],
        good: &[("agent/core/src/lease_2/holder.rs", "")],
    },
    Rule {
        name: "nothing is promised in a comment",
        instead: "do it, or write an issue, or state the limit as a fact",
        everywhere: true,
        find: |source| PROMISES.iter().flat_map(|word| lines_with_word(&source.text, word)).collect(),
        bad: &[("a.sh", concat!("# TO", "DO: later\n")), ("a.rs", concat!("/* FIX", "ME */\n"))],
        good: &[("a.rs", "// what is to do\n")],
    },
    Rule {
        name: "nothing names a path of one machine",
        instead: "take it from the environment, or make a temporary folder",
        everywhere: true,
        find: |source| lines_where(&source.text, |line| line.contains(concat!("/wo", "rk/"))),
        bad: &[("a.rs", concat!("const A: &str = \"/wo", "rk/a\";\n"))],
        good: &[("a.rs", "const A: &str = \"/var/lib/sleepd\"; // work/a\n")],
    },
    Rule {
        name: "nothing is left unwritten",
        instead: "write it, or leave out what calls it",
        everywhere: false,
        find: |source| {
            ["todo!", "unimplemented!"].iter().flat_map(|it| lines_with_word(&source.code, it)).collect()
        },
        bad: &[("a.rs", "fn a() {\n    todo!()\n}\n"), ("a.rs", "fn a() {\n    unimplemented!();\n}\n")],
        good: &[("a.rs", "fn todo() {} // todo!\n")],
    },
    Rule {
        name: "no test is switched off",
        instead: "make it pass, or delete it and say in the commit why nobody needs it",
        everywhere: false,
        find: |source| lines_where(&source.code, |line| line.trim_start().starts_with("#[ignore")),
        bad: &[("a.rs", "#[test]\n#[ignore]\nfn a() {}\n"), ("a.rs", "    #[ignore = \"flaky\"]\n")],
        good: &[("a.rs", "// #[ignore] is refused\n")],
    },
    Rule {
        name: "no test sleeps and hopes",
        instead: "wait for the thing itself: `sleep_tests::wait::until`, a channel, or a paused clock",
        everywhere: false,
        find: sleeps_in_tests,
        bad: &[
            ("cli/tests/a.rs", "fn a() {\n    std::thread::sleep(SECOND);\n}\n"),
            ("agent/src/a.rs", "#[cfg(test)]\nmod tests {\n    use tokio::time::sleep;\n}\n"),
            ("tests/src/lab.rs", "fn a() {\n    thread::sleep(SECOND);\n}\n"),
        ],
        good: &[
            ("agent/src/a.rs", "async fn a() {\n    tokio::time::sleep(SECOND).await;\n}\n"),
            (WAITING_ROOM, "fn a() {\n    thread::sleep(SECOND);\n}\n"),
        ],
    },
    Rule {
        name: "the command line prints in `output/` only",
        instead: "return what is to be said, and let `cli/src/output/` say it",
        everywhere: false,
        find: prints_in_cli,
        bad: &[("cli/src/command/node.rs", "fn a() {\n    println!(\"a\");\n}\n")],
        good: &[
            ("cli/src/output/table.rs", "fn a() {\n    println!(\"a\");\n}\n"),
            ("cli/src/command/node.rs", "#[test]\nfn a() {\n    println!(\"a\");\n}\n"),
        ],
    },
    Rule {
        name: "a process ends in `main` only",
        instead: "return an `ExitCode`, or an error that `main` turns into one",
        everywhere: false,
        find: |source| match source.path.ends_with("main.rs") {
            true => vec![],
            false => lines_with_word(&source.production(), "process::exit"),
        },
        bad: &[("agent/src/agent.rs", "fn a() {\n    std::process::exit(1);\n}\n")],
        good: &[("agent/src/main.rs", "fn main() {\n    std::process::exit(1);\n}\n")],
    },
];

#[test]
fn the_house_is_tidy() {
    let mut report = String::new();
    for file in house::files() {
        let source = Source::new(&file, house::read(&file));
        let rust = file.extension().is_some_and(|extension| extension == "rs");
        for rule in RULES.iter().filter(|rule| rule.everywhere || rust) {
            for line in (rule.find)(&source) {
                report +=
                    &format!("{}:{line}: {}\n    instead: {}\n", file.display(), rule.name, rule.instead);
            }
        }
    }
    assert!(report.is_empty(), "\n\n{report}");
}

/// A rule that cannot fail, or that refuses what is right, is worse than none.
#[test]
fn each_rule_refuses_its_bad_samples_and_no_good_one() {
    for rule in RULES {
        for (path, text) in rule.bad {
            assert!(!(rule.find)(&Source::new(path, *text)).is_empty(), "{}: lets pass: {text}", rule.name);
        }
        for (path, text) in rule.good {
            assert!((rule.find)(&Source::new(path, *text)).is_empty(), "{}: refuses: {text}", rule.name);
        }
    }
}

/// What is measured of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    /// Lines that hold code, tests not counted.
    code: usize,
    /// All lines: documentation and tests too.
    lines: usize,
    /// Lines of its longest function, signature and braces included.
    function: usize,
}

/// Files that exceed a limit, by path.
type Ratchet = BTreeMap<String, Size>;

#[test]
fn files_and_functions_stay_small() {
    let entered: Ratchet = house::manifest(RATCHET).try_into().expect("the ratchet is a table of sizes");
    let sizes =
        house::sources().iter().map(|source| (source.path.display().to_string(), size(source))).collect();
    let (grown, wanted) = turn(&entered, &sizes);
    assert!(grown.is_empty(), "\n\n{}\n", grown.join("\n"));
    assert!(wanted == entered, "\n\n{RATCHET} can be tightened to:\n\n{}", written(&wanted));
}

#[test]
fn the_ratchet_turns_one_way() {
    let files = |files: &[(&str, Size)]| -> Ratchet {
        files.iter().map(|(path, size)| ((*path).to_owned(), *size)).collect()
    };
    let large = Size { code: 500, ..LIMITS };

    let (grown, _) = turn(&files(&[]), &files(&[("new.rs", large)]));
    assert_eq!(grown, ["new.rs: 500 lines of code, limit 400: split it by what it knows"]);
    let (grown, _) = turn(&files(&[("old.rs", large)]), &files(&[("old.rs", Size { code: 501, ..large })]));
    assert_eq!(grown, ["old.rs: 501 lines of code, limit 500: split it by what it knows"]);
    let long = Size { function: 71, lines: 601, ..LIMITS };
    assert_eq!(turn(&files(&[]), &files(&[("a.rs", long)])).0.len(), 2);

    let same = files(&[("old.rs", large)]);
    assert_eq!(turn(&same, &same), (vec![], same.clone()));
    let less = files(&[("old.rs", Size { code: 450, ..large })]);
    assert_eq!(turn(&same, &less), (vec![], less));
    assert_eq!(turn(&same, &files(&[("old.rs", LIMITS)])), (vec![], files(&[])));
    assert_eq!(turn(&same, &files(&[])), (vec![], files(&[])));
}

/// What has grown past its limit, and what the ratchet should hold.
fn turn(entered: &Ratchet, sizes: &Ratchet) -> (Vec<String>, Ratchet) {
    let mut grown = Vec::new();
    let mut wanted = Ratchet::new();
    for (path, size) in sizes {
        let limit = entered.get(path).unwrap_or(&LIMITS);
        let mut check = |what: &str, is: usize, limit: usize, instead: &str| {
            if is > limit {
                grown.push(format!("{path}: {is} {what}, limit {limit}: {instead}"));
            }
        };
        check("lines of code", size.code, limit.code, "split it by what it knows");
        check("lines in all", size.lines, limit.lines, "split it by what it knows");
        check("lines in one function", size.function, limit.function, "name its parts");
        let at_least = size.at_least(LIMITS);
        if at_least != LIMITS {
            wanted.insert(path.clone(), at_least);
        }
    }
    (grown, wanted)
}

impl Size {
    fn at_least(self, floor: Size) -> Size {
        Size {
            code: self.code.max(floor.code),
            lines: self.lines.max(floor.lines),
            function: self.function.max(floor.function),
        }
    }
}

fn size(source: &Source) -> Size {
    let function = source.functions().iter().map(|function| function.lines.len()).max();
    Size { code: source.lines_of_code(), lines: source.lines(), function: function.unwrap_or(0) }
}

fn written(ratchet: &Ratchet) -> String {
    let head: String =
        house::read(Path::new(RATCHET)).lines().take_while(|line| line.starts_with('#')).collect();
    let body = toml::to_string(ratchet).expect("paths and numbers can be written");
    format!("{head}\n{body}")
}

fn begins_with_docs(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| !line.is_empty() && !line.starts_with("#!["))
        .is_some_and(|line| line.starts_with("//!"))
}

fn lower_case(path: &Path) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
    path.iter().all(|part| part.to_string_lossy().chars().all(allowed))
}

fn sleeps_in_tests(source: &Source) -> Vec<usize> {
    // A benchmark may let things age.
    if source.path.ends_with(WAITING_ROOM) || source.path.iter().any(|part| part == "benches") {
        return vec![];
    }
    let tests = source.test_lines();
    let all = source.path.starts_with("tests");
    let sleeps = ["thread::sleep", "time::sleep"].iter().flat_map(|word| lines_with_word(&source.code, word));
    sleeps.filter(|line| all || tests[line - 1]).collect()
}

fn prints_in_cli(source: &Source) -> Vec<usize> {
    if !source.path.starts_with("cli/src") || source.path.starts_with("cli/src/output") {
        return vec![];
    }
    let prints = ["println!", "print!", "eprintln!", "eprint!"];
    prints.iter().flat_map(|word| lines_with_word(&source.production(), word)).collect()
}

fn lines_where(text: &str, at_fault: impl Fn(&str) -> bool) -> Vec<usize> {
    text.lines().enumerate().filter(|(_, line)| at_fault(line)).map(|(at, _)| at + 1).collect()
}
