//! Sessions as text: what was typed, what was answered, and with which exit code.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::fake::Agent;

/// A session with one agent.
pub(crate) struct Session<'a> {
    agent: &'a Agent,
    text: String,
}

impl<'a> Session<'a> {
    /// An empty one.
    pub(crate) fn with(agent: &'a Agent) -> Self {
        Self { agent, text: String::new() }
    }

    /// Runs a command, and writes down what it says: lines of standard error begin with `!`, an exit code
    /// other than 0 with `?`.
    pub(crate) fn run(&mut self, line: &str) -> &mut Self {
        let words: Vec<&str> = line.split(' ').collect();
        let output = sleepctl(self.agent.socket(), &words).output().expect("sleepctl runs");
        let socket = self.agent.socket().display().to_string();
        self.text += &transcript(line, &output).replace(&socket, "SOCKET");
        self
    }

    /// All that was typed and said.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Compares it with what is written down in `tests/goldens`.
    pub(crate) fn matches(&self, golden: &str) {
        matches(&self.text, golden);
    }
}

/// Compares text with what is written down in `tests/goldens`.
pub(crate) fn matches(text: &str, golden: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(golden);
    snapbox::Assert::new()
        .action_env("SNAPSHOTS")
        .eq(text.to_owned(), snapbox::Data::read_from(&path, None).raw());
}

/// The program under test, talking to this socket, with nothing of this machine's environment.
pub(crate) fn sleepctl(socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sleepctl"));
    command.env_clear().env("TZ", "UTC").env("SLEEPD_HOST", socket).args(words).stdin(Stdio::null());
    command
}

/// What was typed and what came of it.
pub(crate) fn transcript(line: &str, output: &Output) -> String {
    let mut text = format!("$ sleepctl {line}\n{}", String::from_utf8_lossy(&output.stdout));
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        writeln!(text, "{}", format!("! {line}").trim_end()).expect("a string takes what is written to it");
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => writeln!(text, "? {code}").expect("a string takes what is written to it"),
        None => text += "? killed\n",
    }
    text + "\n"
}
