//! `sleepctl service logs`.

use sleep_wire::api::{LogLine, TaskView};

use super::Context;
use crate::args::Format;
use crate::args::service::Logs;
use crate::client::path;
use crate::error::Error;
use crate::output::words;

pub(super) async fn run(context: &Context<'_>, args: &Logs) -> Result<(), Error> {
    let tail = args.lines.map(|lines| format!("&tail={lines}")).unwrap_or_default();
    let path = format!("{}?follow={}{tail}", path(&["services", &args.subject, "logs"]), args.follow);
    let mut lines = context.client.lines(&path).await?;
    if args.follow && context.output.is_for_people() {
        context.output.note(&following(context, &args.subject).await?);
    }
    let bounded = args.follow && context.global.bounded;
    let enough = tokio::time::sleep(context.global.timeout);
    tokio::pin!(enough);
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = &mut enough, if bounded => return Ok(()),
            _ = tokio::signal::ctrl_c() => return Err(Error::Stopped),
        };
        let Some(line) = line else { return Ok(()) };
        if context.output.format == Format::Json {
            context.output.line(&line)?;
            continue;
        }
        let line: LogLine = serde_json::from_str(&line).map_err(|_| Error::nonsense("a line of output"))?;
        let at = if args.timestamps { format!("{} ", line.at) } else { String::new() };
        let text = format!("{}@{} | {at}{}", line.task, line.node, line.line);
        context.output.program_line(&text, line.stream != "stdout")?;
    }
}

/// What is followed: whoever waits for a line wants to know whose.
async fn following(context: &Context<'_>, subject: &str) -> Result<String, Error> {
    let tasks: Vec<TaskView> = context.client.get(&path(&["services", subject, "tasks"])).await?;
    let begun = tasks.iter().filter(|task| !task.container.is_empty());
    let names: Vec<String> = begun.map(|task| format!("{}@{}", task.name, task.node)).collect();
    Ok(words::following(subject, &names))
}
