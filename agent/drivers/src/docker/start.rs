//! Starting a task: image, create, start; each step told.

use std::sync::Arc;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{CreateContainerOptions, CreateImageOptions};
use futures_util::StreamExt;
use sleep_wire::engine::{EngineError, EngineReport, Launch, StartStep};
use sleep_wire::task::{Health, TaskId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Inner, create, error, facts};
use crate::label::{self, Owner};
use crate::text;

/// The most bytes of an image's name.
const IMAGE_NAME: usize = 1024;

/// Starts a task, unless `given_up` says that nobody wants it any more before the engine is asked to start
/// it.
pub(crate) async fn start(inner: &Arc<Inner>, launch: Launch, given_up: watch::Receiver<bool>) {
    let task = launch.label.task;
    let outcome = steps(inner, &launch, given_up).await;
    inner.starts().remove(&task);
    if let Err(error) = outcome {
        inner.tell(EngineReport::StartFailed { task, error }).await;
    }
}

async fn steps(
    inner: &Arc<Inner>,
    launch: &Launch,
    mut given_up: watch::Receiver<bool>,
) -> Result<(), EngineError> {
    let prepared = async {
        let digest = image(inner, launch).await?;
        step(inner, launch, StartStep::ImageReady { digest: digest.clone() }).await;
        let turn = inner.engine.starts.acquire().await.expect("nobody closes this semaphore");
        Ok((digest, turn))
    };
    // A fetch that is dropped is broken off: the engine sees its client go.
    let (digest, _turn) = tokio::select! {
        biased;
        () = wanted_no_more(&mut given_up) => return Err(EngineError::Cancelled),
        prepared = prepared => prepared?,
    };
    let container = created(inner, launch, &digest).await?;
    step(inner, launch, StartStep::Created { container: container.clone() }).await;
    let wanted = !*given_up.borrow();
    let outcome = if wanted { run(inner, launch, &container).await } else { Err(EngineError::Cancelled) };
    let died = inner.book().started(&container);
    if let (Ok(()), Some(died)) = (&outcome, died) {
        inner.tell_end(container, launch.label.clone(), died);
    }
    outcome
}

/// Returns once a start is to be given up, and never if it is not.
async fn wanted_no_more(given_up: &mut watch::Receiver<bool>) {
    if given_up.wait_for(|given_up| *given_up).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn run(inner: &Arc<Inner>, launch: &Launch, container: &str) -> Result<(), EngineError> {
    let engine = &inner.engine;
    engine
        .call("start", engine.deadlines.start, |client| async move {
            client.start_container(container, None).await
        })
        .await?;
    // It runs, whatever is known of it.
    let seen =
        engine.look("inspect", |client| async move { client.inspect_container(container, None).await }).await;
    // Whether it has a health check is not known then: the next list tells.
    let unseen = seen.is_err();
    let state = seen.ok().and_then(|seen| seen.state).unwrap_or_default();
    let running = StartStep::Running {
        container: container.to_owned(),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        at: facts::started_at(&state).unwrap_or_else(text::now),
        health: if unseen { Health::Starting } else { facts::health(&state) },
    };
    inner.book().runs(container);
    step(inner, launch, running).await;
    Ok(())
}

async fn step(inner: &Arc<Inner>, launch: &Launch, step: StartStep) {
    inner.tell(EngineReport::Progress { task: launch.label.task, step }).await;
}

/// Creates the container, or finds the one that an earlier create left whose answer was lost.
async fn created(inner: &Arc<Inner>, launch: &Launch, digest: &str) -> Result<String, EngineError> {
    let engine = &inner.engine;
    let labels = label::write(launch, &engine.link()?.id, digest);
    let body = create::body(launch, &inner.node_name, labels);
    let name = label::name(launch);
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    let made =
        engine.call("create", engine.deadlines.create, |client| client_create(client, options, body)).await;
    let container = match made {
        Ok(container) => container,
        Err(EngineError::NameTaken { .. }) => left_behind(inner, launch, &name).await?,
        Err(error) => return Err(error),
    };
    let mut book = inner.book();
    book.learn(&container, &launch.label);
    book.starting(&container);
    Ok(container)
}

async fn client_create(
    client: bollard::Docker,
    options: CreateContainerOptions,
    body: bollard::models::ContainerCreateBody,
) -> Result<String, bollard::errors::Error> {
    Ok(client.create_container(Some(options), body).await?.id)
}

/// The container that has our name, if it is this very task's and has not run yet.
async fn left_behind(inner: &Arc<Inner>, launch: &Launch, name: &str) -> Result<String, EngineError> {
    let seen = inner
        .engine
        .look("inspect", |client| async move { client.inspect_container(name, None).await })
        .await?;
    let taken = EngineError::NameTaken { name: name.to_owned() };
    let owner = label::owner(&labels_of(&seen), Some(launch.cluster));
    let fresh = seen
        .state
        .as_ref()
        .is_some_and(|state| state.running == Some(true) || facts::started_at(state).is_none());
    match seen.id {
        Some(id) if fresh && owner == Owner::Ours(Some(launch.label.clone())) => Ok(id),
        Some(_) | None => Err(taken),
    }
}

/// The labels of an inspected container.
pub(crate) fn labels_of(seen: &ContainerInspectResponse) -> std::collections::HashMap<String, String> {
    seen.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default()
}

/// Sees that the image is here, fetching it only if it is not. Its digest, or its id if no registry named it.
async fn image(inner: &Arc<Inner>, launch: &Launch) -> Result<String, EngineError> {
    let image = launch.template.image.as_str();
    if !is_reference(image) {
        return Err(error::no_such_image(image));
    }
    match held(inner, image).await {
        Err(EngineError::NoSuchImage { .. } | EngineError::NoSuchContainer) => {}
        digest => return digest,
    }
    step(inner, launch, StartStep::Pulling).await;
    // Whoever waits here for the same image finds it when it is his turn.
    let lock = inner.pull_lock(image);
    let _alone = lock.lock().await;
    match held(inner, image).await {
        Err(EngineError::NoSuchImage { .. } | EngineError::NoSuchContainer) => {}
        digest => return digest,
    }
    let _turn = inner.engine.pulls.acquire().await.expect("nobody closes this semaphore");
    pull(inner, image).await?;
    held(inner, image).await
}

async fn held(inner: &Arc<Inner>, image: &str) -> Result<String, EngineError> {
    let seen =
        inner.engine.look("inspect image", |client| async move { client.inspect_image(image).await }).await?;
    let digest = seen.repo_digests.into_iter().flatten().find_map(|digest| {
        let (repository, digest) = digest.split_once('@')?;
        image.starts_with(repository).then(|| digest.to_owned())
    });
    Ok(digest.or(seen.id).unwrap_or_default())
}

/// Fetches an image. Each sign of life gives it time anew.
async fn pull(inner: &Arc<Inner>, image: &str) -> Result<(), EngineError> {
    let call = "pull";
    let client = inner.engine.link()?.client;
    let options = CreateImageOptions { from_image: Some(with_tag(image)), ..Default::default() };
    let mut progress = std::pin::pin!(client.create_image(Some(options), None, None));
    let stall = inner.engine.deadlines.pull_stall;
    while let Some(step) =
        timeout(stall, progress.next()).await.map_err(|_| EngineError::TimedOut { call })?
    {
        let failed = step.map_err(|error| error::read(call, &error)).map(|step| step.error_detail);
        let message = match failed {
            Ok(None) => continue,
            Ok(Some(detail)) => error::other(&detail.message.unwrap_or_default()),
            Err(error) => error,
        };
        return Err(error::pull(image, message));
    }
    Ok(())
}

/// An engine told to fetch a name without a tag fetches every tag.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Whether text may stand in a path of the engine's API as the name of an image.
fn is_reference(image: &str) -> bool {
    (1..=IMAGE_NAME).contains(&image.len())
        && image.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c))
        && image.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// A task's container runs although nobody waits for its start: its answer came too late, or somebody started
/// it by hand.
pub(crate) async fn found_running(inner: &Arc<Inner>, task: TaskId, container: &str) {
    let seen = inner
        .engine
        .look("inspect", |client| async move { client.inspect_container(container, None).await })
        .await;
    let Ok(Some(state)) = seen.map(|seen| seen.state) else { return };
    if state.running != Some(true) || !inner.book().runs(container) {
        return;
    }
    let step = StartStep::Running {
        container: container.to_owned(),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        at: facts::started_at(&state).unwrap_or_else(text::now),
        health: facts::health(&state),
    };
    inner.tell(EngineReport::Progress { task, step }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_the_latest() {
        assert_eq!(with_tag("busybox"), "busybox:latest");
        assert_eq!(with_tag("host:5000/busybox"), "host:5000/busybox:latest");
        assert_eq!(with_tag("host:5000/busybox:1"), "host:5000/busybox:1");
        assert_eq!(with_tag("busybox@sha256:ab"), "busybox@sha256:ab");
    }

    #[test]
    fn a_name_cannot_lead_to_another_part_of_the_api() {
        let bad = ["", "..", "a/../containers/x", "a?b", "a#b", "a b", "a%2fb", "/a", "a//b", "ä", "a\n"];
        assert_eq!(bad.map(is_reference), [false; 11]);
        assert!(!is_reference(&"a".repeat(IMAGE_NAME + 1)));
        assert!(["busybox", "host:5000/a/b:1.0", "a@sha256:0f"].iter().all(|name| is_reference(name)));
    }
}
