//! What a shell proposes: verbs and flags as they are defined, and the names that the cluster has now.
//!
//! # Not here
//! How a shell asks: `clap_complete` speaks its language.

use std::ffi::OsStr;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Arg, Command};
use clap_complete::env::Shells;
use clap_complete::{ArgValueCompleter, CompletionCandidate, Shell};
use serde_json::Value;
use tokio::time::timeout;

use crate::args::{Cli, Global};
use crate::client::Client;
use crate::error::Error;
use crate::output::Output;

/// Set by the scripts that [`script`] prints, when a shell asks.
pub const VARIABLE: &str = "SLEEPCTL_COMPLETE";

/// How long a person who pressed a key waits for names.
const PATIENCE: Duration = Duration::from_millis(700);

/// The commands, with the names that fit where names are wanted.
pub fn definition() -> Command {
    named(Cli::definition())
}

/// Prints what has a shell ask this program.
pub(super) fn script(output: &Output, shell: Shell) -> Result<(), Error> {
    let trouble = |error: std::io::Error| Error::internal("a completion script", &error);
    let name = shell.to_string();
    let shells = Shells::builtins();
    let known =
        shells.completer(&name).ok_or_else(|| Error::Internal(format!("nothing is known of {name}")))?;
    let mut script = Vec::new();
    known.write_registration(VARIABLE, "sleepctl", "sleepctl", "sleepctl", &mut script).map_err(trouble)?;
    output.raw(&script)
}

fn named(command: Command) -> Command {
    // Of a verb and its other name a shell is told but one: the one that help begins with.
    let command = command.visible_alias(Resettable::Reset);
    // What nodes write is not for this program to read.
    let of_tasks = command.get_name() == "logs";
    command.mut_args(|arg| completed(arg, of_tasks)).mut_subcommands(named)
}

fn completed(arg: Arg, of_tasks: bool) -> Arg {
    match arg.get_id().as_str() {
        "subject" if of_tasks => {
            arg.add(ArgValueCompleter::new(|typed: &OsStr| names(typed, &["/v1/services"], "")))
        }
        "node" | "nodes" => arg.add(ArgValueCompleter::new(|typed: &OsStr| names(typed, &["/v1/nodes"], ""))),
        "service" | "services" => {
            arg.add(ArgValueCompleter::new(|typed: &OsStr| names(typed, &["/v1/services"], "")))
        }
        "operators" => arg.add(ArgValueCompleter::new(|typed: &OsStr| names(typed, &["/v1/operators"], ""))),
        "scales" => arg.add(ArgValueCompleter::new(|typed: &OsStr| names(typed, &["/v1/services"], "="))),
        "subject" => {
            arg.add(ArgValueCompleter::new(|typed: &OsStr| names(typed, &["/v1/services", "/v1/nodes"], "")))
        }
        _ => arg,
    }
}

/// Names that begin with what was typed. An agent that does not answer has none: a shell shows no errors.
fn names(typed: &OsStr, lists: &[&str], after: &str) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let asked = async {
        let hosts = std::env::var("SLEEPD_HOST").ok().filter(|hosts| !hosts.is_empty());
        let mut global = Global::at(hosts.unwrap_or_default());
        global.hosts.retain(|host| !host.is_empty());
        let client = Client::connect(&global).await?;
        let mut found: Vec<String> = Vec::new();
        for list in lists {
            let items: Vec<Value> = client.get(list).await?;
            found.extend(items.iter().filter_map(|item| Some(item["name"].as_str()?.to_owned())));
        }
        Ok::<_, Error>(found)
    };
    let found = runtime.block_on(async { timeout(PATIENCE, asked).await });
    let found = found.ok().and_then(Result::ok).unwrap_or_default().into_iter();
    found.filter(|name| name.starts_with(typed)).map(|name| (name + after).into()).collect()
}
