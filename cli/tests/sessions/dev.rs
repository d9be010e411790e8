//! A cluster on this machine that does not come about: what is said, and that nothing is left behind.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::transcript::{self, sleepctl};

/// A program in place of the agent.
fn program(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("sleepd");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its owner may");
    path
}

fn dev(folder: &TempDir, program: &Path) -> Command {
    let mut command = sleepctl(Path::new("/nonexistent"), &["dev", "--exit", "--sleepd"]);
    command
        .arg(program)
        .env("TMPDIR", folder.path())
        .env("PATH", "/usr/bin:/bin")
        .env("SLEEPD_NAME", "wrong");
    command
}

fn said(folder: &TempDir, output: &Output) -> String {
    transcript::transcript("dev --exit", output).replace(&folder.path().display().to_string(), "TMP")
}

fn left_behind(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("sleep-")).collect()
}

#[test]
fn an_agent_that_is_not_there_or_ends_at_once() {
    let folder = TempDir::new().expect("a folder");
    let none = dev(&folder, &folder.path().join("none")).output().expect("sleepctl runs");
    let ends = program(&folder, "echo \"error: name ${SLEEPD_NAME-unset}, no room\" >&2; exit 7");
    let ends = dev(&folder, &ends).output().expect("sleepctl runs");
    transcript::matches(&(said(&folder, &none) + &said(&folder, &ends)), "dev.txt");
    assert_eq!(left_behind(&folder), [""; 0]);
}

/// As an agent of this machine would find it.
#[test]
fn an_engine_is_found_by_the_agent_s_own_variable_first() {
    let folder = TempDir::new().expect("a folder");
    let agent = program(&folder, "exit 7");
    let mut dev = dev(&folder, &agent);
    dev.args(["--driver", "docker", "--image", "x"]).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let looked_at = |output: &Output| said(&folder, output).lines().nth(1).unwrap_or_default().to_owned();
    let usual = looked_at(&dev.output().expect("sleepctl runs"));
    assert!(usual.contains("unix:///nonexistent/docker.sock"), "{usual}");
    let own =
        looked_at(&dev.env("SLEEPD_DOCKER_HOST", "/nonexistent/e.sock").output().expect("sleepctl runs"));
    assert!(own.contains("unix:///nonexistent/e.sock"), "{own}");
}

/// An agent's tasks outlive it; they must not outlive the program that brought them about.
#[test]
fn a_term_leaves_nothing_behind() {
    let folder = TempDir::new().expect("a folder");
    let deaf = "trap '' TERM; setsid sleep 86399 & echo $! > \"$0.task\"; sleep 86399 & wait";
    let deaf = program(&folder, deaf);
    let task = folder.path().join("sleepd.task");
    let made = Command::new("mkfifo").arg(&task).status().expect("mkfifo runs");
    assert!(made.success());
    let mut command = dev(&folder, &deaf);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("sleepctl runs");
    let pid = fs::read_to_string(&task).expect("a process id");
    assert!(is_running(pid.trim()));
    let term = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(term.success());
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
    assert_eq!(child.wait().expect("sleepctl ends").code(), Some(130));
    assert_eq!(errors, "error: interrupted: nothing is left behind\n");
    assert!(!is_running(pid.trim()), "the task of an agent that was killed");
    assert_eq!(left_behind(&folder), [""; 0]);
}

fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}
