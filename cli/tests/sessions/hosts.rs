//! The ways to an agent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fake::{self, Agent, Answer, node, status};
use crate::transcript::{self, sleepctl};
use serde_json::json;

fn agent() -> Agent {
    Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(1, 1)),
        "GET /v1/nodes" => Answer::Json(json!([node(1, "ready", "active", "control", true)])),
        _ => fake::problem(404, "no_such_path", "no such path in this API"),
    })
}

/// What is found as `ssh`; it writes down what it is told.
struct Ssh(TempDir);

/// It reaches every host, and runs there what it is told to.
const DIALS: &str = "while [ \"$1\" != sleepctl ]; do shift; done; shift; exec \"$SLEEPCTL\" \"$@\"";

impl Ssh {
    /// One that does this when it is told to go anywhere.
    fn that(does: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (ssh, log) = (folder.path().join("ssh"), folder.path().join("log"));
        let script =
            format!("#!/bin/sh\necho \"$@\" >> {}\n[ \"$1\" = -O ] && exit\n{does}\n", log.display());
        fs::write(&ssh, script).expect("a file");
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("its owner may");
        Self(folder)
    }

    /// Runs a command that finds it.
    fn run(&self, hosts: &str, words: &[&str]) -> Output {
        let mut command = sleepctl(hosts.as_ref(), words);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.0.path().display()));
        command.env("SLEEPCTL", env!("CARGO_BIN_EXE_sleepctl")).output().expect("sleepctl runs")
    }

    /// What it was told, a line each time.
    fn said(&self) -> String {
        fs::read_to_string(self.0.path().join("log")).expect("a log")
    }

    /// How often it was to log in.
    fn logins(&self) -> usize {
        self.said().lines().filter(|line| !line.starts_with("-O ")).count()
    }
}

/// That ssh runs here says nothing of there, and a login is not for trying.
#[test]
fn a_host_that_ssh_does_not_reach_is_logged_in_to_once_and_the_next_is_tried() {
    let (agent, ssh) = (agent(), Ssh::that("exit 255"));
    let both = format!("ssh://ada@pi-1,{}", agent.socket().display());
    let output = ssh.run(&both, &["node", "ls", "-q"]);
    assert_eq!(transcript::transcript("", &output), "$ sleepctl \nn1aaaaaaaaaaaaaaaaaaaaaaaa\n\n");
    assert_eq!(ssh.logins(), 1, "{}", ssh.said());
    let output = ssh.run("ssh://ada@pi-1", &["node", "ls"]);
    let said = transcript::transcript("", &output);
    assert!(
        said.starts_with("$ sleepctl \n! error: no agent answers at ssh://ada@pi-1: through ssh: "),
        "{said}"
    );
    assert!(said.ends_with("!\n! hint: ssh -- ada@pi-1 systemctl status sleepd\n? 3\n\n"), "{said}");
    assert_eq!(ssh.logins(), 2, "{}", ssh.said());
}

/// What is silent for longer than all others may be is not what they have a share of.
#[test]
fn a_login_that_takes_long_leaves_the_next_host_its_time() {
    let (agent, ssh) = (agent(), Ssh::that("exec sleep 6"));
    let output = ssh.run(&format!("ssh://pi-1,{}", agent.socket().display()), &["node", "ls", "-q"]);
    assert_eq!(transcript::transcript("", &output), "$ sleepctl \nn1aaaaaaaaaaaaaaaaaaaaaaaa\n\n");
    assert_eq!(ssh.logins(), 1, "{}", ssh.said());
}

/// What was reached and went away is tried again, with time for whoever counts logins.
#[test]
fn a_host_behind_ssh_that_goes_away_is_not_logged_in_to_all_the_time() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(1, 1)),
        _ => Answer::HangUp,
    });
    let ssh = Ssh::that(&format!("[ -e \"$0.was\" ] && exit 255\ntouch \"$0.was\"\n{DIALS}"));
    let output = ssh.run(&format!("ssh://pi-1{}", agent.socket().display()), &["node", "ls"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!((2..=5).contains(&ssh.logins()), "{}", ssh.said());
}

/// What the system's ssh is told to run is this program's other end.
#[test]
fn an_ssh_host_is_reached_through_the_system_s_ssh() {
    let (agent, ssh) = (agent(), Ssh::that(DIALS));
    let host = format!("ssh://ada@pi-1:2222{}", agent.socket().display());
    let output = ssh.run(&host, &["node", "ls", "-q"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n1aaaaaaaaaaaaaaaaaaaaaaaa\n");
    // One stream for both questions, and one connection for all streams, which ends with the command.
    let said = ssh.said();
    let control = said.split_whitespace().find(|word| word.starts_with("ControlPath=")).expect("a path");
    let share = format!(
        "-o ConnectTimeout=10 -o ControlMaster=auto -o ControlPersist=60 -o {control} -p 2222 -- ada@pi-1"
    );
    let socket = agent.socket().display();
    let expected =
        format!("{share} sleepctl dial-stdio {socket}\n-O exit -o {control} -p 2222 -- ada@pi-1\n");
    assert_eq!(said, expected);
    let folder = control.trim_start_matches("ControlPath=").trim_end_matches("/%C");
    assert!(!Path::new(folder).exists(), "{folder} is left behind");
}

#[test]
fn flags_go_before_the_environment_and_hosts_are_tried_in_order() {
    let agent = agent();
    let run = |environment: &str, words: &[&str]| {
        let output = sleepctl(environment.as_ref(), words).output().expect("sleepctl runs");
        transcript::transcript("", &output)
    };
    let socket = agent.socket().display().to_string();
    let listed = run(&socket, &["node", "ls", "-q"]);
    assert_eq!(listed, "$ sleepctl \nn1aaaaaaaaaaaaaaaaaaaaaaaa\n\n");
    assert_eq!(run("/nonexistent", &["-H", &socket, "node", "ls", "-q"]), listed);
    assert_eq!(run("/nonexistent", &["-H", "/nonexistent", "-H", &socket, "node", "ls", "-q"]), listed);
    assert_eq!(run(&format!("/nonexistent,{socket}"), &["node", "ls", "-q"]), listed);
    assert!(run(&socket, &["-H", "/nonexistent", "node", "ls"]).ends_with("? 3\n\n"));
}

/// The kernel takes connections for an agent that is stopped: only an answer shows that it is not.
#[test]
fn an_agent_that_does_not_answer_costs_seconds_and_not_the_next_one() {
    let (agent, folder) = (agent(), TempDir::new().expect("a folder"));
    let stopped = folder.path().join("stopped.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&stopped).expect("a socket");
    let run = |words: &[&str]| {
        let began = Instant::now();
        let output = sleepctl(&stopped, words).output().expect("sleepctl runs");
        let text = transcript::transcript("", &output).replace(&stopped.display().to_string(), "STOPPED");
        (text, began.elapsed())
    };
    let silent = |within: &str| {
        format!(
            "$ sleepctl \n! error: no agent answers at STOPPED: no answer within {within} s\n!\n\
             ! hint: systemctl status sleepd  # without systemd: run `sleepd`; only to try it: `sleepctl \
             dev`\n? 3\n\n"
        )
    };
    let (text, took) = run(&["node", "ls"]);
    assert_eq!((text, took >= Duration::from_secs(5)), (silent("5"), true));
    let (text, took) = run(&["--timeout", "1500ms", "node", "ls"]);
    assert_eq!(text, silent("1.5"));
    assert!((Duration::from_millis(1500)..Duration::from_secs(5)).contains(&took), "{took:?}");
    let both = format!("{},{}", stopped.display(), agent.socket().display());
    let (text, took) = run(&["-H", &both, "node", "ls", "-q"]);
    assert_eq!(text, "$ sleepctl \nn1aaaaaaaaaaaaaaaaaaaaaaaa\n\n");
    assert!(took >= Duration::from_millis(2500), "its share of 5 s: {took:?}");
}

/// A shell asks for what may follow: names come from the cluster, and from nowhere if there is none.
#[test]
fn names_are_completed() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/nodes" => Answer::Json(json!([
            node(1, "ready", "active", "control", true),
            node(2, "down", "active", "control", false)
        ])),
        "GET /v1/services" => Answer::Json(json!([
            fake::service("web", 1, 1, "nginx", &[]),
            fake::service("pine", 1, 1, "x", &[])
        ])),
        _ => fake::problem(404, "no_such_path", "no such path in this API"),
    });
    let complete = |socket: &Path, words: &[&str]| {
        let mut command = sleepctl(socket, &["--", "sleepctl"]);
        let output = command.args(words).env("SLEEPCTL_COMPLETE", "fish").output().expect("sleepctl runs");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(agent.socket(), &["node", "drain", "pi"]), ["pi-1", "pi-2"]);
    assert_eq!(complete(agent.socket(), &["service", "rm", "w"]), ["web"]);
    assert_eq!(complete(agent.socket(), &["scale", "we"]), ["web="]);
    assert_eq!(complete(agent.socket(), &["why", "pi"]), ["pine", "pi-1", "pi-2"]);
    assert_eq!(complete(agent.socket(), &["logs", "pi"]), ["pine"], "output is a service's, not a node's");
    let verbs = complete(agent.socket(), &["cluster", ""]);
    assert!(verbs.iter().any(|verb| verb.starts_with("status")), "{verbs:?}");
    assert_eq!(complete("/nonexistent".as_ref(), &["node", "drain", "pi"]), [""; 0]);
    let script = sleepctl("/nonexistent".as_ref(), &["completion", "bash"]).output().expect("sleepctl runs");
    assert!(String::from_utf8_lossy(&script.stdout).contains("SLEEPCTL_COMPLETE=\"bash\""));
}
