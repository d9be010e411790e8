//! Every source, every setting, and everything that can be wrong with them.

use std::collections::BTreeMap;
use std::fs;

use super::*;

fn told(
    flags: &[&str],
    variables: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Config, (String, tempfile::TempDir)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("sleepd.toml");
    if let Some(text) = file {
        fs::write(&path, text).expect("a free name");
    }
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let args = ["sleepd"].iter().chain(flags).map(OsString::from);
    match read_with(args, |name| variables.get(name).map(OsString::from), "here", &path) {
        Ok(Invocation::Agent(config)) => Ok(*config),
        Ok(Invocation::Shim(args)) => panic!("{args:?}"),
        Err(error) => Err((error.to_string(), dir)),
    }
}

/// What is wrong, with the file's path as `FILE`.
fn problem(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> String {
    let (text, dir) = told(flags, variables, file).expect_err("something is wrong");
    text.replace(&*dir.path().join("sleepd.toml").to_string_lossy(), "FILE")
}

fn defaults() -> Config {
    Config {
        name: "here".to_owned(),
        data_dir: "/var/lib/sleepd".into(),
        listen: vec!["[::]:7533".parse().expect("an address")],
        advertise: vec![],
        socket: "/run/sleepd/sleepd.sock".into(),
        api: Some("127.0.0.1:7534".parse().expect("an address")),
        api_token_file: None,
        driver: Driver::Auto,
        docker_host: None,
        labels: vec![],
        log_format: LogFormat::Text,
    }
}

/// Every setting with another value than its default.
const EVERYTHING: [(&str, &[&str]); 11] = [
    ("name", &["pi-3"]),
    ("data-dir", &["/srv/sleepd"]),
    ("listen", &["10.0.0.1", "[::1]:99"]),
    ("advertise", &["203.0.113.7:1"]),
    ("socket", &["/tmp/s.sock"]),
    ("api", &["off"]),
    ("api-token-file", &["/etc/sleepd/token"]),
    ("driver", &["process"]),
    ("docker-host", &["/run/docker.sock"]),
    ("label", &["zone=b", "disk=ssd"]),
    ("log-format", &["json"]),
];

fn everything() -> Config {
    let address = |text: &str| text.parse().expect("an address");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Config {
        name: "pi-3".to_owned(),
        data_dir: "/srv/sleepd".into(),
        listen: vec![address("10.0.0.1:7533"), address("[::1]:99")],
        advertise: vec![address("203.0.113.7:1")],
        socket: "/tmp/s.sock".into(),
        api: None,
        api_token_file: Some("/etc/sleepd/token".into()),
        driver: Driver::Process,
        docker_host: Some("unix:///run/docker.sock".to_owned()),
        labels: vec![pair("disk", "ssd"), pair("zone", "b")],
        log_format: LogFormat::Json,
    }
}

#[test]
fn nobody_says_anything() {
    assert_eq!(told(&[], &[], None).expect("defaults"), defaults());
    assert_eq!(told(&[], &[], Some("")).expect("an empty file"), defaults());
    assert_eq!(told(&[], &[("SLEEPD_HOST", "unix:///x")], None).expect("sleepctl's own"), defaults());
}

/// Each source can say everything.
#[test]
fn flags_variables_and_the_file_mean_the_same() {
    let flags: Vec<String> = EVERYTHING
        .iter()
        .flat_map(|(name, values)| {
            values.iter().flat_map(move |value| [format!("--{name}"), (*value).to_owned()])
        })
        .collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    assert_eq!(told(&flags, &[], None).expect("flags"), everything());

    let variables: Vec<(String, String)> = EVERYTHING
        .iter()
        .map(|(name, values)| {
            (format!("SLEEPD_{}", name.to_uppercase().replace('-', "_")), values.join(", "))
        })
        .collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(told(&[], &variables, None).expect("variables"), everything());

    let file: String = EVERYTHING
        .iter()
        .map(|(name, values)| match values {
            [one] => format!("{name} = {one:?}\n"),
            many => format!("{name} = {many:?}\n"),
        })
        .collect();
    assert_eq!(told(&[], &[], Some(&file)).expect("a file"), everything());
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let file =
        Some("name = \"file\"\ndriver = \"docker\"\nlabel = [\"a=1\", \"b=2\"]\nlog-format = \"json\"");
    let variables = [("SLEEPD_NAME", "variable"), ("SLEEPD_DRIVER", "process"), ("SLEEPD_LABEL", "c=3")];
    let config = told(&["--name", "flag"], &variables, file).expect("three sources");
    let expected = Config {
        name: "flag".to_owned(),
        driver: Driver::Process,
        labels: vec![("c".to_owned(), "3".to_owned())],
        log_format: LogFormat::Json,
        ..defaults()
    };
    assert_eq!(config, expected);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases = [
        (
            problem(&["--api", "0.0.0.0:80"], &[], None),
            "--api: `0.0.0.0:80` is not a loopback address; other hosts are served \
             over QUIC, with a key",
        ),
        (
            problem(&[], &[("SLEEPD_LISTEN", "10.0.0.1,pi-3")], None),
            "SLEEPD_LISTEN: `pi-3` is not an IP address with or without a port",
        ),
        (
            problem(&[], &[], Some("name = \"a\"\nlisten = [\"::1\",\n  \"::1:70000:\"]")),
            "FILE:3:3: `::1:70000:` is not an IP address with or without a port",
        ),
        (
            problem(&[], &[], Some("# ä\nnmae = \"x\"")),
            "FILE:2:1: unknown key `nmae`; there are name, data-dir, listen, advertise, \
             socket, api, api-token-file, driver, docker-host, label, log-format",
        ),
        (
            problem(&[], &[], Some("[docker]\nhost = \"x\"")),
            "FILE:1:2: unknown key `docker`; there are name, data-dir, listen, advertise, \
             socket, api, api-token-file, driver, docker-host, label, log-format",
        ),
        (problem(&[], &[], Some("api = false")), "FILE:1:7: `api` is a string: ADDR:PORT|off"),
        (problem(&[], &[], Some("name = [\"a\", \"b\"]")), "FILE:1:8: `name` has one value only"),
        (problem(&[], &[], Some("label = [\"a=1\", 2]")), "FILE:1:17: `label` is a string: KEY=VALUE"),
        (problem(&["--label", "a=1", "--label", "a=2"], &[], None), "--label: the label `a` is given twice"),
        (problem(&["--label", "disk"], &[], None), "--label: `disk` is not KEY=VALUE"),
        (
            problem(&["--label", "io.sleepd.node=x"], &[], None),
            "--label: `io.sleepd.node` begins with `io.sleepd.`, which is reserved",
        ),
        (problem(&["--name", "../x"], &[], None), "--name: may have letters, digits, `-`, `_` and `.` only"),
        (problem(&["--name", ""], &[], None), "--name: is empty"),
        (
            problem(&["--advertise", "0.0.0.0"], &[], None),
            "--advertise: `0.0.0.0` is not an address that others could dial",
        ),
        (problem(&["--driver", "podman"], &[], None), "--driver: `podman` is none of auto, docker, process"),
        (
            problem(&["--docker-host", "ssh://pi"], &[], None),
            "--docker-host: `ssh://pi` is none of unix:///PATH, tcp://HOST:PORT, \
             http://HOST:PORT",
        ),
        (
            problem(&["--log-format", "\u{1b}[31m"], &[], None),
            "--log-format: `\\u{1b}[31m` is none of text, json",
        ),
        (
            problem(&["--socket", &format!("/{}", "x".repeat(107))], &[], None),
            "--socket: is a path of 108 bytes, where a socket's has at most 107",
        ),
    ];
    for (is, should) in cases {
        assert_eq!(is, should);
    }
    let broken = problem(&[], &[], Some("name = \"a\"\nname = \"b\""));
    assert!(broken.starts_with("FILE:2:1: "), "{broken}");
    let broken = problem(&[], &[], Some("name = \"a"));
    assert!(broken.starts_with("FILE:1:"), "{broken}");
}

#[test]
fn a_named_file_must_be_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let missing = dir.path().join("missing.toml").display().to_string();
    let told_missing = told(&["--config", &missing], &[], None).expect_err("it is missing").0;
    assert_eq!(told_missing, format!("cannot read {missing}: No such file or directory (os error 2)"));
    let folder = dir.path().display().to_string();
    let told_folder = told(&[], &[("SLEEPD_CONFIG", &folder)], None).expect_err("a directory").0;
    assert_eq!(told_folder, format!("cannot read {folder}: Is a directory (os error 21)"));
    let named = dir.path().join("other.toml");
    fs::write(&named, "name = \"other\"").expect("a free name");
    let config = told(&["--config", &named.display().to_string()], &[], Some("name = \"default\""));
    assert_eq!(config.expect("a file").name, "other");
}

#[test]
fn the_shim_takes_everything_behind_its_name() {
    let args = ["sleepd", "shim", "--name", "x", "--", "sleep"].map(OsString::from);
    let shim = read(args, |_| None, "here").expect("a shim");
    assert_eq!(shim, Invocation::Shim(["--name", "x", "--", "sleep"].map(OsString::from).into()));
}

#[test]
fn an_unknown_flag_is_usage_and_help_is_none() {
    let run = |flag: &str| {
        let error = read(["sleepd", flag].map(OsString::from), |_| None, "here").expect_err("no agent");
        (error.exit_code(), error.to_string())
    };
    let (code, text) = run("--nmae");
    assert_eq!(code, 2);
    assert!(text.contains("--name"), "{text}");
    let (code, text) = run("--help");
    assert_eq!(code, 0);
    assert!(text.starts_with("Examples:"), "{text}");
    settings::command().debug_assert();
}
