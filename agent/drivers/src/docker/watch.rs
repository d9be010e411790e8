//! Keeping an eye on an engine: what happens to its containers, and whether it answers.
//!
//! ```text
//!            answers a probe                  no answer, events end, breaker trips
//! Ill ────────────────────────▶ Well, events ─────────────────────────────────────▶ probe
//! ```
//! `Well` is told after every gap in the events, not only after an illness: whoever hears it asks for a list,
//! since events may have been missed. Events are asked for from the moment of the last one seen, so few are.

use std::collections::HashMap;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt;
use sleep_wire::engine::{EngineError, EngineReport};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Health, TaskLabel};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::copy::Made;
use super::engine::Link;
use super::{Inner, error, facts, start};
use crate::book::{Died, Verdict};
use crate::label::{self, Owner};

/// Watches for ever.
pub(crate) async fn watch(inner: std::sync::Arc<Inner>) {
    let runtime = Runtime::Docker;
    let mut told: Option<EngineError> = None;
    let mut seen = Seen::default();
    loop {
        match inner.engine.open().await {
            Ok(link) => {
                told = None;
                inner.book().forget_facts();
                let (engine, version) = (link.id.clone(), link.version.clone());
                inner.tell(EngineReport::Well { runtime, engine, version }).await;
                let why = events(&inner, link, &mut seen).await;
                tracing::debug!(?why, "the engine's events ended");
            }
            Err(error) => {
                inner.engine.close(error.clone());
                if told.as_ref() != Some(&error) {
                    told = Some(error.clone());
                    inner.tell(EngineReport::Ill { runtime, error }).await;
                }
                sleep(inner.engine.deadlines.reconnect).await;
            }
        }
        if inner.reports.is_closed() {
            return;
        }
    }
}

/// How far the events were read.
#[derive(Debug, Default)]
struct Seen {
    /// Nanoseconds since 1970 by the engine's clock.
    nanos: i64,
}

impl Seen {
    /// Where to go on, as the API wants it: never later than the engine's own clock, which may have been set
    /// back.
    fn since(&self, link: &Link) -> Option<String> {
        let nanos =
            if self.nanos > 0 { link.now.map_or(self.nanos, |now| now.min(self.nanos)) } else { link.now? };
        Some(format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000))
    }
}

/// Reads events until there are no more or nobody answers; why it ended.
async fn events(inner: &std::sync::Arc<Inner>, link: Link, seen: &mut Seen) -> EngineError {
    let kinds = ["start", "die", "health_status"].map(str::to_owned).to_vec();
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("label".to_owned(), vec![label::CLUSTER.to_owned()]),
        ("event".to_owned(), kinds),
    ]);
    let options = EventsOptions { since: seen.since(&link), until: None, filters: Some(filters) };
    let mut events = std::pin::pin!(link.client.events(Some(options)));
    let mut pulse = interval(inner.engine.deadlines.pulse);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse.reset();
    loop {
        tokio::select! {
            event = events.next() => match event {
                // One that is heard twice does no harm: the book knows what was told.
                Some(Ok(event)) => {
                    seen.nanos = event.time_nano.unwrap_or(seen.nanos);
                    happened(inner, event);
                }
                Some(Err(error)) => return error::read("events", &error),
                None => return error::unreachable("the engine closed its events"),
            },
            () = inner.engine.tripped.notified() => return error::unreachable("calls go unanswered"),
            _ = pulse.tick() => {
                let pong = inner.engine.look("ping", |client| async move { client.ping().await }).await;
                if let Err(error) = pong {
                    return error;
                }
            }
        }
    }
}

/// Something happened to a container.
fn happened(inner: &std::sync::Arc<Inner>, event: EventMessage) {
    let at = facts::at(&event);
    let Some(actor) = event.actor else { return };
    let (Some(container), Some(attributes)) = (actor.id, actor.attributes) else { return };
    let Owner::Ours(Some(label)) = label::owner(&attributes, inner.cluster()) else { return };
    let names = attributes.get("name").map_or(&[][..], std::slice::from_ref);
    let made = Made { container: &container, names, image: None, label: &label };
    // A copy, or one that was renamed while no agent ran and is not listed yet: then the list tells.
    if !made.is_known(inner) {
        return;
    }
    let action = event.action.unwrap_or_default();
    let mut book = inner.book();
    book.changed(&container);
    if action == "die" {
        let code = attributes.get("exitCode").and_then(|code| code.parse().ok());
        let verdict = book.died(&container, Died { code: facts::code(code), at });
        drop(book);
        if verdict == Verdict::Tell && label.node == inner.node {
            inner.tell_end(container, label, Died { code: facts::code(code), at });
        }
    } else if action == "start" {
        let news = book.start_is_news(&container);
        drop(book);
        if news && label.node == inner.node {
            let inner = inner.clone();
            tokio::spawn(async move { start::found_running(&inner, label.task, &container).await });
        }
    } else if action.starts_with("health_status") && label.node == inner.node {
        drop(book);
        health_changed(inner, label, facts::health_of_text(&action));
    }
}

fn health_changed(inner: &std::sync::Arc<Inner>, label: TaskLabel, health: Health) {
    let inner = inner.clone();
    tokio::spawn(async move {
        inner.tell(EngineReport::HealthChanged { task: label.task, health }).await;
    });
}
