//! What engines say, in their own types: see [`crate::foreign`].

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage};
use bytes::Bytes;
use sleep_wire::engine::EngineError;
use sleep_wire::task::{Exit, Health, TaskLabel};
use sleep_wire::{ClusterId, WallTime};

use super::reading;
use crate::foreign::owner;
use crate::logs::LogLine;

/// A piece of a container's output.
pub fn engine_line(message: &[u8]) -> LogLine {
    reading::line(LogOutput::StdOut { message: Bytes::copy_from_slice(message) })
}

/// What an engine's refusal means.
pub fn refusal(status_code: u16, message: String) -> EngineError {
    reading::refusal("call", &Error::DockerResponseServerError { status_code, message })
}

/// What an inspection says of a container: how it ended, its health, when it started.
pub fn inspection(json: &[u8]) -> Option<(Option<Exit>, Health, Option<WallTime>)> {
    let seen: ContainerInspectResponse = serde_json::from_slice(json).ok()?;
    let state = seen.state.unwrap_or_default();
    Some((reading::exit(&state), reading::health(&state), reading::started_at(&state)))
}

/// When an event happened.
pub fn event(json: &[u8]) -> Option<WallTime> {
    let event: EventMessage = serde_json::from_slice(json).ok()?;
    Some(reading::at(&event))
}

/// Whose a container of a list is, and how well.
pub fn summary(json: &[u8], cluster: ClusterId) -> Option<(Option<Option<TaskLabel>>, Health)> {
    let summary: ContainerSummary = serde_json::from_slice(json).ok()?;
    let health = reading::health_of_text(summary.status.as_deref().unwrap_or_default());
    Some((owner(&summary.labels.unwrap_or_default(), cluster), health))
}
