//! Everything of ours that an engine has.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptions, ListImagesOptions, LogsOptions,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use sleep_wire::engine::{EngineError, EngineReport, Found};
use sleep_wire::spec::Runtime;
use sleep_wire::task::{Exit, Health, TaskLabel};
use tokio::time::timeout;

use super::copy::Made;
use super::start::labels_of;
use super::{Inner, facts};
use crate::label::{self, Owner};
use crate::text;

/// How many containers are inspected at a time.
const AT_A_TIME: usize = 8;
/// The most bytes of output that are read for the sake of the last lines.
const OUTPUT: usize = 64 * 1024;

pub(crate) async fn list(inner: &Inner) {
    let runtime = Runtime::Docker;
    inner.engine.looked_at().await;
    let report = match everything(inner).await {
        Ok((found, images)) => EngineReport::Listed { runtime, found, images },
        Err(error) => EngineReport::ListFailed { runtime, error },
    };
    inner.tell(report).await;
}

async fn everything(inner: &Inner) -> Result<(Vec<Found>, Vec<String>), EngineError> {
    let summaries = match inner.cluster() {
        None => Vec::new(),
        Some(cluster) => {
            let ours = format!("{}={cluster}", label::CLUSTER);
            let filters = Some(HashMap::from([("label".to_owned(), vec![ours])]));
            let options = ListContainersOptions { all: true, limit: None, size: false, filters };
            inner
                .engine
                .look("list", |client| async move { client.list_containers(Some(options)).await })
                .await?
        }
    };
    let there: BTreeSet<String> = summaries.iter().filter_map(|summary| summary.id.clone()).collect();
    inner.book().retain(&there);
    let mut found: Vec<Found> = stream::iter(summaries)
        .map(|summary| one(inner, summary))
        .buffer_unordered(AT_A_TIME)
        .try_filter_map(|found| async { Ok(found) })
        .try_collect()
        .await?;
    found.sort_by(|a, b| a.container.cmp(&b.container));
    Ok((found, images(inner).await))
}

/// One container, or `None` if it is gone meanwhile, or not one of ours. What cannot have changed since it
/// was last inspected is not asked for again.
async fn one(inner: &Inner, mut summary: ContainerSummary) -> Result<Option<Found>, EngineError> {
    let Some(container) = summary.id.clone() else { return Ok(None) };
    let labels = summary.labels.take().unwrap_or_default();
    let Owner::Ours(label) = label::owner(&labels, inner.cluster()) else { return Ok(None) };
    if let Some(label) = &label {
        let names = summary.names.as_deref().unwrap_or_default();
        let made = Made { container: &container, names, image: summary.image_id.as_deref(), label };
        // What cannot be told of one list is told of the next.
        if made.is_copy(inner).await.unwrap_or(true) {
            return Ok(None);
        }
        inner.book().learn(&container, label);
    }
    let running = is_up(&summary);
    let known = inner.book().facts(&container).filter(|known| known.running == running).cloned();
    if let Some(known) = known {
        let health = match known.health {
            Health::None => Health::None,
            Health::Starting | Health::Healthy | Health::Unhealthy => said_health(&summary),
        };
        return Ok(Some(Found { health, ..known }));
    }
    match inspected(inner, label.clone(), container.clone()).await {
        Ok(found) => {
            let mut book = inner.book();
            book.found(&found);
            if found.running && !book.is_starting(&found.container) {
                book.runs(&found.container);
            }
            drop(book);
            Ok(Some(found))
        }
        Err(EngineError::NoSuchContainer) => Ok(None),
        // One that the engine cannot look into hides no other.
        Err(error @ (EngineError::TimedOut { .. } | EngineError::Other { .. })) => {
            tracing::warn!(?error, container, "a container cannot be inspected: taken as it is listed");
            let image_digest = label::image(&labels).or_else(|| summary.image_id.clone()).unwrap_or_default();
            let found = summarized(&summary, label, container).ok_or(error)?;
            Ok(Some(Found { image_digest, ..found }))
        }
        Err(error) => Err(error),
    }
}

fn is_up(summary: &ContainerSummary) -> bool {
    matches!(summary.state, Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED))
}

fn said_health(summary: &ContainerSummary) -> Health {
    facts::health_of_text(summary.status.as_deref().unwrap_or_default())
}

/// What the list itself says of a container; `None` if that is not whether it runs.
fn summarized(summary: &ContainerSummary, label: Option<TaskLabel>, container: String) -> Option<Found> {
    use ContainerSummaryStateEnum::{
        CREATED, DEAD, EMPTY, EXITED, PAUSED, REMOVING, RESTARTING, RUNNING, STOPPING,
    };
    let exit = match summary.state? {
        EMPTY => return None,
        RUNNING | PAUSED | RESTARTING | STOPPING | CREATED => None,
        EXITED | REMOVING | DEAD => {
            let code = summary.status.as_deref().and_then(facts::code_of_text);
            Some(Exit { code: facts::code(code), out_of_memory: false })
        }
    };
    Some(Found {
        label,
        running: exit.is_none() && summary.state != Some(CREATED),
        started_at: None,
        exit,
        health: said_health(summary),
        image_digest: String::new(),
        last_lines: Vec::new(),
        container,
    })
}

async fn inspected(inner: &Inner, label: Option<TaskLabel>, container: String) -> Result<Found, EngineError> {
    let id = container.as_str();
    let options = InspectContainerOptions { size: false };
    let seen = inner
        .engine
        .look("inspect", |client| async move { client.inspect_container(id, Some(options)).await })
        .await?;
    let state = seen.state.clone().unwrap_or_default();
    let exit = facts::exit(&state);
    let last_lines = match exit {
        Some(exit) if exit.code != 0 => last_lines(inner, id).await,
        Some(_) | None => Vec::new(),
    };
    Ok(Found {
        label,
        running: state.running == Some(true),
        started_at: facts::started_at(&state),
        exit,
        health: facts::health(&state),
        image_digest: label::image(&labels_of(&seen)).or(seen.image).unwrap_or_default(),
        last_lines,
        container,
    })
}

/// The last lines of a container's output; none if they cannot be had.
pub(crate) async fn last_lines(inner: &Inner, container: &str) -> Vec<String> {
    let Ok(link) = inner.engine.link() else { return Vec::new() };
    let options =
        LogsOptions { stdout: true, stderr: true, tail: text::LINES.to_string(), ..LogsOptions::default() };
    let mut output = Vec::new();
    let mut pieces = std::pin::pin!(link.client.logs(container, Some(options)));
    let read = async {
        while let Some(Ok(piece)) = pieces.next().await {
            output.extend_from_slice(&piece.into_bytes());
            if output.len() >= OUTPUT {
                break;
            }
        }
    };
    // What was read in time is better than nothing.
    let _partial = timeout(inner.engine.deadlines.look, read).await;
    text::last_lines(&output)
}

/// The names of all images, sorted; those of an earlier list if they cannot be had.
async fn images(inner: &Inner) -> Vec<String> {
    let options = ListImagesOptions::default();
    let images = inner
        .engine
        .look("list images", |client| async move { client.list_images(Some(options)).await })
        .await;
    let mut known = inner.images.lock().unwrap_or_else(PoisonError::into_inner);
    match images {
        Ok(images) => {
            let tags = images.into_iter().flat_map(|image| image.repo_tags);
            let names: BTreeSet<String> = tags.filter(|tag| !tag.contains("<none>")).collect();
            *known = names.into_iter().collect();
        }
        Err(error) => tracing::warn!(?error, "the engine does not list its images: they are as they were"),
    }
    known.clone()
}
