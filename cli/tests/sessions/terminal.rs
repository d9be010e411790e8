//! Terminals: narrow ones, none at all, and pipes that nobody reads.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::json;

use crate::fake::{Agent, Answer, node, progress, service, snapshot, status, task};
use crate::transcript::{self, sleepctl};

fn cluster() -> Agent {
    Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        "GET /v1/nodes" => Answer::Json(json!([
            node(1, "ready", "active", "control", true),
            node(2, "down", "drained", "worker", false),
        ])),
        "GET /v1/services" => Answer::Json(json!([service(
            "web",
            1,
            2,
            "ghcr.io/somebody/a-rather-long-name:1.27.3",
            &["80->80/tcp"]
        )])),
        "GET /v1/services/web/tasks?history=true" => {
            let mut failed = task("web", 1, "pi-1", "failed", 60);
            failed["error"] = "the image ghcr.io/somebody/a-rather-long-name:1.27.3 does not exist".into();
            failed["id"] = "abcdefghijklmnop".into();
            Answer::Json(json!([failed]))
        }
        "PUT /v1/scale" => Answer::Json(json!({"changed": true, "durability": "shared"})),
        line if line.starts_with("GET /v1/watch") => {
            Answer::Events(vec![snapshot(&[progress("web", 1, &[("pi-1", "running", true)])], &[])])
        }
        "GET /v1/services/web/tasks" => Answer::Json(json!([task("web", 1, "pi-1", "running", 60)])),
        line if line.contains("/logs?follow=") => {
            let line = |stream: &str, line: &str| {
                json!({"task": "web.1", "id": "t1", "node": "pi-1", "stream": stream, "at": "",
                       "line": line})
            };
            Answer::Lines(vec![line("stdout", "one \u{1b}[31mred\u{1b}[0m \u{1b}[2J"), line("stderr", "two")])
        }
        _ => Answer::Json(json!({
            "service": service("web", 1, 1, "nginx", &[]), "spec": {"template": {"image": "nginx"}},
            "created_at": "", "updated_at": "", "update": "", "conflicts": [],
        })),
    })
}

/// Runs a command on a terminal of its own, and returns what is on it.
fn on_terminal(socket: &Path, columns: u16, words: &[&str], environment: &[(&str, &str)]) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("a terminal");
    unlockpt(&ours).expect("a terminal");
    let name = ptsname(&ours, Vec::new()).expect("a terminal has a name");
    let path = name.to_str().expect("its name is plain");
    let theirs: OwnedFd = OpenOptions::new().read(true).write(true).open(path).expect("a terminal").into();
    tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("a terminal");
    let end = || Stdio::from(theirs.try_clone().expect("a descriptor"));
    let mut command = sleepctl(socket, words);
    command.env("TERM", "xterm").envs(environment.iter().copied()).stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().expect("sleepctl runs");
    drop(command);
    drop(theirs);
    let mut shown = Vec::new();
    let mut part = [0; 4096];
    // A terminal whose other end is closed is an error to read from, not an end.
    while let Ok(length @ 1..) = File::from(ours.try_clone().expect("a descriptor")).read(&mut part) {
        shown.extend_from_slice(&part[..length]);
    }
    child.wait().expect("sleepctl ends");
    String::from_utf8_lossy(&shown).replace('\r', "")
}

#[test]
fn a_narrow_terminal_breaks_texts_and_never_names() {
    let agent = cluster();
    let mut text = String::new();
    for columns in [100, 80, 72, 20] {
        for words in [["node", "ls"].as_slice(), &["ls"], &["ps", "web"]] {
            text += &format!("{columns} columns: {}\n", words.join(" "));
            text += &on_terminal(agent.socket(), columns, words, &[("NO_COLOR", "1")]);
            text += "\n";
        }
    }
    transcript::matches(&text, "narrow.txt");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let agent = cluster();
    let shown = |words: &[&str], environment: &[(&str, &str)]| {
        on_terminal(agent.socket(), 100, words, environment).contains('\x1b')
    };
    assert!(shown(&["node", "ls"], &[]));
    assert!(shown(&["node", "ls", "--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!shown(&["node", "ls"], &[("NO_COLOR", "1")]));
    assert!(!shown(&["node", "ls", "--color", "never"], &[]));
    assert!(!shown(&["node", "ls", "-o", "json"], &[]));
    let piped = sleepctl(agent.socket(), &["node", "ls"]).output().expect("sleepctl runs");
    assert!(!piped.stdout.contains(&0x1b));
}

#[test]
fn ids_are_short_on_a_terminal_unless_they_are_wanted_whole() {
    let agent = cluster();
    let plain = &[("NO_COLOR", "1")];
    let ls = |words: &[&str]| on_terminal(agent.socket(), 120, words, plain);
    assert!(ls(&["node", "ls"]).contains("\nn1aaaaaaaaaa *  pi-1"));
    assert!(ls(&["node", "ls", "--no-trunc"]).contains("\nn1aaaaaaaaaaaaaaaaaaaaaaaa *  pi-1"));
    assert!(ls(&["node", "ls", "-q"]).starts_with("n1aaaaaaaaaaaaaaaaaaaaaaaa\n"));
}

#[test]
fn waiting_on_a_terminal_leaves_the_outcome_alone() {
    let agent = cluster();
    let shown = on_terminal(agent.socket(), 80, &["scale", "web=1"], &[("NO_COLOR", "1")]);
    let last = shown.rsplit(['\n', '\x1b']).find(|line| line.contains("running")).unwrap_or_default();
    assert!(last.ends_with("web: 1/1 running"), "{shown:?}");
}

#[test]
fn what_programs_write_goes_where_they_wrote_it() {
    let agent = cluster();
    let output = sleepctl(agent.socket(), &["logs", "web"]).output().expect("sleepctl runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "web.1@pi-1 | one \x1b[31mred\x1b[0m \x1b[2J\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "web.1@pi-1 | two\n");
    let output = sleepctl(agent.socket(), &["logs", "-f", "web"]).output().expect("sleepctl runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next();
    assert_eq!(first, Some("following web.1@pi-1; not what starts later. Ctrl-C ends this"), "{said}");
    let shown = on_terminal(agent.socket(), 80, &["logs", "web"], &[]);
    assert!(shown.contains("one \x1b[31mred\x1b[0m [2J\n"), "{shown:?}");
}

#[test]
fn a_pipe_that_nobody_reads_is_no_error() {
    let agent = cluster();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = sleepctl(agent.socket(), &["node", "ls"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("sleepctl runs");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_full_disk_and_closed_descriptors_are_no_panic() {
    let agent = cluster();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let output = sleepctl(agent.socket(), &["node", "ls"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("sleepctl runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: standard output: No space left"));
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let line = format!("exec \"$0\" -H \"$1\" node ls {closed}");
        let status = Command::new("sh")
            .args(["-c", &line, env!("CARGO_BIN_EXE_sleepctl")])
            .arg(agent.socket())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("sh runs");
        assert_eq!(status.code(), Some(0), "{closed}");
    }
}

#[test]
fn help_leads_with_examples() {
    let help = |words: &[&str]| {
        let output = sleepctl(Path::new("/nonexistent"), words).output().expect("sleepctl runs");
        transcript::transcript(&words.join(" "), &output)
    };
    transcript::matches(&help(&["--help"]), "help.txt");
    transcript::matches(&help(&["service", "create", "--help"]), "help-create.txt");
    for shell in ["bash", "zsh", "fish"] {
        assert!(help(&["completion", shell]).contains("sleepctl"), "{shell}");
    }
    assert!(help(&["man"]).contains(".TH sleepctl"));
}
