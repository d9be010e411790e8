//! What programs of ours measure by themselves: the world in virtual time, and planning.

use std::env;
use std::process::Command;

use crate::error::Result;
use crate::house;
use crate::process::{binary, output};

/// How much faster than real time nine nodes at work are.
pub fn world() -> Result<String> {
    simulated(&["bench", "bench --unchecked"])
}

/// What a cluster of a thousand nodes costs to form.
pub fn thousand() -> Result<String> {
    simulated(&["form --nodes 1000"])
}

fn simulated(lines: &[&str]) -> Result<String> {
    let mut told = Vec::new();
    for line in lines {
        eprintln!("world: sleep-sim {line}");
        let mut command = Command::new(binary("sleep-sim")?);
        told.push(format!("sleep-sim {line}\n  {}", output(command.args(line.split(' ')))?));
    }
    Ok(fenced(&told.join("\n")))
}

/// What planning costs.
pub fn placement() -> Result<String> {
    let told = output(cargo().args(["bench", "--quiet", "-p", "sleep-core", "--bench", "placement"]))?;
    Ok(fenced(&told))
}

/// Builds what is measured, in the profile of this program.
pub fn build() -> Result<()> {
    let own = binary("bench")?;
    let folder = own.parent().and_then(|folder| folder.file_name()).unwrap_or_default().to_string_lossy();
    let profile = if folder == "debug" { "dev" } else { &folder };
    if profile != "release" {
        eprintln!("this is the profile `{profile}`: what it measures is no figure of a release");
    }
    let packages = ["-p", "sleepd", "-p", "sleepctl", "-p", "sleep-sim"];
    output(cargo().args(["build", "--quiet", "--profile", profile]).args(packages)).map(drop)
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(house::root());
    command
}

fn fenced(text: &str) -> String {
    format!("```text\n{text}\n```\n")
}
