//! What people type and paste: tokens, ids, flags, hosts, command lines, files.
//!
//! Whatever is read is shown again so that it is read as the same, where there is a way to show it.

use std::ffi::OsString;
use std::io::Write;

use sleep_core::placement::parse_constraint;
use sleep_core::validate;
use sleep_fuzz::kept::{files, root, texts};
use sleep_fuzz::{target, whatever};
use sleep_sim::{scenario, span};
use sleep_wire::api::{LogLine, Plan, Problem, ServiceProgress, TaskView, Why};
use sleep_wire::token::JoinString;
use sleep_wire::{ClusterId, CommandId, NodeId, RevisionId, ServiceId, TokenId};
use sleepctl::args::{Cli, habit, parse};
use sleepctl::client::Host;
use sleepctl::output;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn tokens(bytes: &[u8]) {
    if let Ok(token) = text(bytes).parse::<JoinString>() {
        let shown = token.to_string();
        assert_eq!(shown.parse::<JoinString>(), Ok(token));
        assert_eq!(shown, text(bytes).trim(), "one token, one text");
    }
}

fn token_seeds() -> Vec<Vec<u8>> {
    let token = |cluster, secret| JoinString { cluster: ClusterId([cluster; 32]), secret: [secret; 32] };
    [token(0, 0), token(0x5a, 0xff)].iter().map(|token| token.to_string().into_bytes()).collect()
}

target!(
    /// Join tokens, as they are pasted.
    join_tokens, 5_000, token_seeds(), tokens
);

fn ids(bytes: &[u8]) {
    macro_rules! shown_and_read {
        ($($kind:ty)*) => { $(if let Ok(id) = text(bytes).parse::<$kind>() {
            assert_eq!(id.to_string().parse::<$kind>(), Ok(id));
        })* };
    }
    shown_and_read!(NodeId ServiceId RevisionId CommandId TokenId);
    if let Some(seed) = sleepctl::key::from_hex(&text(bytes)) {
        assert_eq!(sleepctl::key::from_hex(&sleepctl::key::to_hex(&seed)), Some(seed));
    }
}

target!(
    /// Ids and keys in hexadecimal.
    hexadecimal, 5_000, texts(&["00112233445566778899aabbccddeeff", &"0f".repeat(32), &"éa".repeat(16)]), ids
);

/// The values of flags. Each is bounded, whatever was typed.
fn flags(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(time) = parse::duration(&text) {
        assert!(time.as_secs() <= 10 * 365 * 24 * 3600);
        output::time::exact(time);
        output::time::coarse(time.as_secs());
    }
    assert!(parse::memory(&text).map_or(true, |size| (1..=1 << 50).contains(&size)));
    assert!(parse::cpus(&text).map_or(true, |cpus| (1..=1_000_000).contains(&cpus)));
    if let Ok(ports) = parse::ports(&text) {
        assert!((1..=1_000).contains(&ports.len()));
        assert!(ports.iter().all(|port| port.published > 0 && port.target > 0));
    }
    if let Ok(words) = parse::words(&text) {
        assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    }
    if let Ok((service, _)) = parse::scale(&text) {
        assert_eq!(parse::name(&service), Ok(service));
    }
    if let Ok((key, value)) = parse::label_change(&text) {
        assert_eq!(text, value.map_or_else(|| format!("{key}-"), |value| format!("{key}={value}")));
    }
    whatever(parse::pair(&text));
    whatever(parse::name(&text));
    whatever(parse::replicas(&text));
    if let Ok(host) = text.parse::<Host>() {
        let shown = host.to_string().parse::<Host>().expect("a host is read as it is shown");
        assert_eq!(shown, host);
    }
}

fn flag_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "1h30m",
        "250ms",
        "1.5s",
        "90",
        "3µs",
        "512m",
        "1.5GiB",
        "1073741824",
        "0.5",
        "2",
        "8080:80",
        "[::1]:53:53/udp",
        "1000-1999:1-1000",
        "published=8080,target=80,protocol=tcp,mode=host",
        "sh -c 'echo \"a b\"' '' c\\ d",
        "web=5",
        "zone=attic",
        "disk-",
        "unix:///run/a.sock",
        "/run/a.sock",
        "quic://pi-1:7533",
        "pi-1",
        "ssh://ada@pi-1:22/run/a.sock",
        "ssh://pi-1",
        "[fd00::1]:7533",
    ])
}

target!(
    /// What flags are given.
    flag_values, 8_000, flag_seeds(), flags
);

/// What a Docker habit is answered with is understood here.
fn habits(bytes: &[u8]) {
    let words: Vec<String> = text(bytes).split(' ').map(str::to_owned).collect();
    if let Some(instead) = habit::instead(&words) {
        assert!(!instead.line.is_empty() || !instead.why.is_empty(), "it says something");
        assert!(instead.line.is_empty() || Cli::understands(&instead.line), "{:?}", instead.line);
    }
}

fn habit_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "swarm join --token t a:7533",
        "-H pi-1 swarm init",
        "node update --availability drain pi-1",
        "node update --label-add zone=a pi-1",
        "service update --env-add A=1 web",
        "stop web",
        "service create --placement-pref spread=node.labels.zone nginx",
        "service ls --filter name=web",
        "service create --name web --replicas=3 --publish published=80,target=80 nginx sleep inf",
    ])
}

target!(
    /// Command lines as people type them who know Docker.
    docker_habits, 150, habit_seeds(), habits
);

/// The agent's file.
fn config(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(bytes).expect("it can be written");
    let args = ["sleepd".into(), "--config".into(), file.path().as_os_str().to_owned()];
    if let Err(wrong) = sleepd::config::read(args, |_| None, "pi-1") {
        assert_eq!(wrong.exit_code(), 2);
        assert!(!wrong.to_string().is_empty());
    }
    // The same bytes as a flag and as a variable.
    let text = || OsString::from(text(bytes));
    let words = text();
    let args = std::iter::once("sleepd".into()).chain(
        words.to_str().into_iter().flat_map(|words| words.split(' ').map(OsString::from).collect::<Vec<_>>()),
    );
    let set = |name: &str| (name != "SLEEPD_CONFIG").then(text);
    whatever(sleepd::config::read(args, set, "pi-1"));
}

fn config_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "name = \"pi-1\"\ndata-dir = \"/var/lib/sleepd\"\nlisten = [\"[::]:7533\"]\n",
        "advertise = [\"192.168.1.2\", \"[fd00::2]:7533\"]\nsocket = \"/run/a.sock\"\napi = \"off\"\n",
        "driver = \"docker\"\ndocker-host = \"tcp://127.0.0.1:2375\"\nlabel = [\"zone=a\", \"disk=ssd\"]\n",
        "log-format = \"json\"\n# a comment\napi = '127.0.0.1:7534'\n\"name\" = \"é\"\n",
        "--name pi-2 --label a=b --listen [::]:1 --api [::1]:9",
    ])
}

target!(
    /// What the agent is told by file, flag and environment.
    agent_config, 800, config_seeds(), config
);

/// A scenario that is read is written so that it is read as the same.
fn scenarios(bytes: &[u8]) {
    if let Ok(read) = scenario::file::read(&text(bytes)) {
        assert_eq!(scenario::file::read(&scenario::file::write(&read)), Ok(read));
    }
}

fn scenario_seeds() -> Vec<Vec<u8>> {
    let kept = files(&root().join("simulations/scenarios"));
    kept.into_iter().filter(|file| !file.starts_with(b"# Scenarios")).collect()
}

target!(
    /// The simulator's files.
    scenario_files, 1_500, scenario_seeds(), scenarios
);

fn spans(bytes: &[u8]) {
    if let Ok(time) = span::parse(&text(bytes)) {
        assert_eq!(span::parse(&span::show(time)), Ok(time));
    }
    if let Ok(time) = span::parse_signed(&text(bytes)) {
        assert_eq!(span::parse_signed(&span::show_signed(time)), Ok(time));
    }
}

target!(
    /// Times in those files.
    scenario_times, 8_000, texts(&["250ms", "1.5s", "1m 30s", "-2h", "PT1M", "1y", "292471y"]), spans
);

/// Names, labels and constraints, as the core checks them.
fn names(bytes: &[u8]) {
    let text = text(bytes);
    whatever(validate::node_name("name", &text));
    let (key, value) = text.split_once('=').unwrap_or((&text, ""));
    whatever(validate::label(key, Some(value)));
    whatever(parse_constraint(&text));
}

target!(
    /// What the core takes for a name, a label, a constraint.
    names_and_constraints, 8_000,
    texts(&["pi-1", "zone=attic", "node.labels.zone==attic", "node.id != 00112233445566778899aabbccddeeff",
        "node.role==control", "node.platform.os==linux"]),
    names
);

/// What agents answer, told in words.
fn answers(bytes: &[u8]) {
    if let Ok(why) = serde_json::from_slice::<Why>(bytes) {
        assert!(!output::words::why(&why).is_empty());
    }
    if let Ok(plan) = serde_json::from_slice::<Plan>(bytes) {
        assert!(!output::plan::words(&plan).is_empty());
    }
    if let Ok(task) = serde_json::from_slice::<TaskView>(bytes) {
        assert!(!output::progress::crash(&task).is_empty());
        assert_eq!(output::task::sorted(vec![task.clone()], true), [task]);
    }
    if let Ok(service) = serde_json::from_slice::<ServiceProgress>(bytes) {
        assert!(output::progress::running(&service) as usize <= service.slots.len());
    }
    whatever(serde_json::from_slice::<Problem>(bytes));
    whatever(serde_json::from_slice::<LogLine>(bytes));
}

fn answer_seeds() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"subject":"web.1","summary":"it runs","at":"2026-01-02T11:59:48.5Z",
            "story":[{"at":"x","text":"a"}],
            "slots":[{"name":"web.1","summary":"é","settled":true}],"last_lines":["\u001b[31m"],
            "refusals":[{"node":"pi-1","filter":"memory","reason":"1 MiB of 2"}]}"#,
        r#"{"changes":["web: 2 → 3"],"moves":[{"name":"web.1","from":"","to":"pi-1","why":"wanted"}],
            "pending":[{"name":"web.2","refusals":[]}],"complete":false,
            "nodes":3,"seen":2,"seen_from":"pi-1"}"#,
        r#"{"id":"a","service":"web","slot":"1","name":"web.1","node":"pi-1","image":"nginx",
            "desired":"running",
            "state":"failed","since":null,"error":"exited with code 1","started_at":null,
            "exit_code":-2147483648,
            "container":"c","ports":[],"history":false,"last_lines":["a","b"]}"#,
        r#"{"id":"a","name":"web","removed":false,"desired":2,"settled":1,"slots":[{"name":"web.1","node":"",
            "state":"running","message":"","refusals":[],"settled":false}],"ending":0,"waiting_for_down":[],
            "update":"","converged":false}"#,
    ])
}

target!(
    /// Agents' answers.
    answers_of_agents,
    5_000,
    answer_seeds(),
    answers
);

/// When something was, as agents tell it.
fn moments_of(bytes: &[u8]) {
    let text = text(bytes);
    let now = output::time::Moment::now();
    whatever(now.age(Some(&text)));
    whatever(now.until(Some(&text)));
    whatever(output::time::of_day(&text));
}

target!(
    /// Moments in agents' answers.
    moments, 5_000,
    texts(&["2026-01-02T11:59:48.5Z", "-009999-01-02T00:00:00Z", "9999-12-30T22:00:00.999999999Z"]),
    moments_of
);
