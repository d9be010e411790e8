//! Requests that change something: each becomes one command of the core.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use sleep_core::io::{self, Command, Reply};
use sleep_wire::api::*;
use sleep_wire::id::NotAnId;
use sleep_wire::spec::Revision;
use sleep_wire::{CommandId, WallTime};

use super::extract::{Body, Path, Query};
use super::openapi::Problems;
use super::{Failure, Handle, names};

type Answer<T> = Result<Json<T>, Failure>;

#[utoipa::path(
    post,
    path = "/v1/cluster/init",
    tag = "cluster",
    summary = "Found a cluster of one",
    request_body = Init,
    responses((status = 200, description = "Done", body = Initialised), Problems),
)]
pub(super) async fn init(State(handle): State<Handle>, Body(Init {}): Body<Init>) -> Answer<Initialised> {
    let command = Command::Init { nonce: random()?, token_seed: random()? };
    let Reply::Initialised { cluster, token } = handle.command(command).await? else { return unexpected() };
    let (node, name) = me(&handle).await?;
    let addresses = (handle.shared.addresses)();
    Ok(Json(Initialised { cluster: cluster.to_string(), node, name, token: token.to_string(), addresses }))
}

#[utoipa::path(
    post,
    path = "/v1/cluster/join",
    tag = "cluster",
    summary = "Make the agent asked a member of a cluster",
    request_body = Join,
    responses((status = 200, description = "Done", body = Joined), Problems),
)]
pub(super) async fn join(State(handle): State<Handle>, Body(join): Body<Join>) -> Answer<Joined> {
    if join.addresses.is_empty() {
        return Err(Problem::new(Code::Invalid, 422, "`addresses` is empty").into());
    }
    let Reply::Joined { cluster } =
        handle.command(Command::Join { token: join.token, addresses: join.addresses }).await?
    else {
        return unexpected();
    };
    let role = handle.ask(|core, now| core.status(now).role).await?;
    let (node, name) = me(&handle).await?;
    let role = role.ok_or_else(|| Failure::from(super::problem::not_clustered()))?;
    Ok(Json(Joined { cluster: cluster.to_string(), node, name, role }))
}

#[utoipa::path(
    post,
    path = "/v1/cluster/leave",
    tag = "cluster",
    summary = "Take the agent asked out of its cluster",
    request_body = Leave,
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn leave(State(handle): State<Handle>, Body(leave): Body<Leave>) -> Answer<Changed> {
    let told = Command::Leave { force: leave.force };
    let Reply::Left { durability } = handle.command(told).await? else { return unexpected() };
    Ok(Json(Changed { changed: true, durability: durable(durability) }))
}

#[utoipa::path(
    post,
    path = "/v1/cluster/recover",
    tag = "cluster",
    summary = "Begin anew with the node asked as the one voter, where most voters are gone for good",
    request_body = Recover,
    responses((status = 200, description = "Done", body = Recovered), Problems),
)]
pub(super) async fn recover(State(handle): State<Handle>, Body(asked): Body<Recover>) -> Answer<Recovered> {
    let told = Command::Recover { force: asked.force };
    let Reply::Recovered { changed, generation } = handle.command(told).await? else { return unexpected() };
    Ok(Json(Recovered { changed, generation: u32::from(generation) }))
}

#[utoipa::path(
    put,
    path = "/v1/nodes/{node}/availability",
    tag = "nodes",
    summary = "Drain, pause or activate a node",
    params(
        ("node" = String, Path, description = "A name, an id, or the beginning of an id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    request_body = SetAvailability,
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn node_availability(
    State(handle): State<Handle>,
    Path(node): Path<String>,
    headers: HeaderMap,
    Body(set): Body<SetAvailability>,
) -> Answer<Changed> {
    let command = command_id(&headers)?;
    let node = handle.ask(move |core, now| names::node(core, now, &node)).await??;
    let availability = set.availability;
    changed(handle.command(Command::NodeAvailability { node, availability, command }).await?)
}

#[utoipa::path(
    put,
    path = "/v1/nodes/{node}/role",
    tag = "nodes",
    summary = "Promote or demote a node",
    params(
        ("node" = String, Path, description = "A name, an id, or the beginning of an id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    request_body = SetRole,
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn node_role(
    State(handle): State<Handle>,
    Path(node): Path<String>,
    headers: HeaderMap,
    Body(set): Body<SetRole>,
) -> Answer<Changed> {
    let command = command_id(&headers)?;
    let node = handle.ask(move |core, now| names::node(core, now, &node)).await??;
    changed(handle.command(Command::NodeRole { node, role: set.role, command }).await?)
}

#[utoipa::path(
    patch,
    path = "/v1/nodes/{node}/labels",
    tag = "nodes",
    summary = "Set and remove labels of a node",
    params(
        ("node" = String, Path, description = "A name, an id, or the beginning of an id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    request_body = SetLabels,
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn node_labels(
    State(handle): State<Handle>,
    Path(node): Path<String>,
    headers: HeaderMap,
    Body(set): Body<SetLabels>,
) -> Answer<Changed> {
    let command = command_id(&headers)?;
    let node = handle.ask(move |core, now| names::node(core, now, &node)).await??;
    let labels = set.labels.into_iter().collect();
    changed(handle.command(Command::NodeLabels { node, labels, command }).await?)
}

/// The query of a node's removal.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Removing {
    /// Whether its key is in other hands: then what it wrote after its removal is void.
    #[serde(default)]
    compromised: bool,
}

#[utoipa::path(
    delete,
    path = "/v1/nodes/{node}",
    tag = "nodes",
    summary = "Remove a node for good",
    params(
        ("node" = String, Path, description = "A name, an id, or the beginning of an id"),
        Removing,
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn node_remove(
    State(handle): State<Handle>,
    Path(node): Path<String>,
    Query(removing): Query<Removing>,
    headers: HeaderMap,
) -> Answer<Changed> {
    let command = command_id(&headers)?;
    let node = handle.ask(move |core, now| names::any_node(core, now, &node)).await??;
    changed(handle.command(Command::NodeRemove { node, compromised: removing.compromised, command }).await?)
}

#[utoipa::path(
    post,
    path = "/v1/services",
    tag = "services",
    summary = "Create a service",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    request_body = ServiceCreate,
    responses((status = 200, description = "Done", body = ServiceChanged), Problems),
)]
pub(super) async fn service_create(
    State(handle): State<Handle>,
    headers: HeaderMap,
    Body(create): Body<ServiceCreate>,
) -> Answer<ServiceChanged> {
    let command = command_id(&headers)?;
    let ServiceCreate { name, mode, singleton, replicas, spec } = create;
    let spec = Box::new(revision(spec));
    let create = Command::ServiceCreate { name, mode, singleton, replicas, spec, command };
    service_changed(&handle, handle.command(create).await?).await
}

#[utoipa::path(
    put,
    path = "/v1/services/{service}",
    tag = "services",
    summary = "Give a service a new revision",
    params(
        ("service" = String, Path, description = "A name, an id, or the beginning of an id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    request_body = ServiceUpdate,
    responses((status = 200, description = "Done", body = ServiceChanged), Problems),
)]
pub(super) async fn service_update(
    State(handle): State<Handle>,
    Path(service): Path<String>,
    headers: HeaderMap,
    Body(update): Body<ServiceUpdate>,
) -> Answer<ServiceChanged> {
    let command = command_id(&headers)?;
    let service = handle.ask(move |core, now| names::service(core, now, &service)).await??;
    let expected = match update.expected {
        Some(text) => Some(text.parse().map_err(|_| {
            Failure::from(Problem::new(Code::Invalid, 422, "`expected` is no revision's id"))
        })?),
        None => None,
    };
    let spec = Box::new(revision(update.spec));
    let update = Command::ServiceUpdate { service, spec, replicas: update.replicas, expected, command };
    service_changed(&handle, handle.command(update).await?).await
}

#[utoipa::path(
    put,
    path = "/v1/scale",
    tag = "services",
    summary = "Change how many replicas services have",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    request_body = SetScale,
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn scale(
    State(handle): State<Handle>,
    headers: HeaderMap,
    Body(set): Body<SetScale>,
) -> Answer<Changed> {
    let command = command_id(&headers)?;
    let scales = handle
        .ask(move |core, now| {
            set.services
                .iter()
                .map(|(name, replicas)| Ok((names::service(core, now, name)?, *replicas)))
                .collect::<Result<Vec<_>, Failure>>()
        })
        .await??;
    changed(handle.command(Command::ServiceScale { scales, command }).await?)
}

#[utoipa::path(
    post,
    path = "/v1/services/remove",
    tag = "services",
    summary = "Remove services",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Sent twice, it is done once"),
    ),
    request_body = RemoveServices,
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn services_remove(
    State(handle): State<Handle>,
    headers: HeaderMap,
    Body(remove): Body<RemoveServices>,
) -> Answer<Changed> {
    let command = command_id(&headers)?;
    let services = handle
        .ask(move |core, now| {
            let named = remove.services.iter().map(|name| names::any_service(core, now, name));
            named.collect::<Result<Vec<_>, _>>()
        })
        .await??;
    changed(handle.command(Command::ServiceRemove { services, command }).await?)
}

pub(super) fn revision(spec: Spec) -> Revision {
    let Spec { template, placement, update, partition, labels } = spec;
    Revision { parents: Vec::new(), template, placement, update, partition, labels, at: WallTime::default() }
}

async fn service_changed(handle: &Handle, reply: Reply) -> Answer<ServiceChanged> {
    let Reply::Service { service, revision, changed, durability } = reply else { return unexpected() };
    let name = handle.ask(move |core, now| names::of_service(core, now, service)).await?;
    let (id, revision) = (service.to_string(), revision.to_string());
    Ok(Json(ServiceChanged { id, name, revision, changed, durability: durable(durability) }))
}

pub(super) fn changed(reply: Reply) -> Answer<Changed> {
    let Reply::Done { changed, durability } = reply else { return unexpected() };
    Ok(Json(Changed { changed, durability: durable(durability) }))
}

pub(super) const fn durable(durability: io::Durability) -> Durability {
    match durability {
        io::Durability::Alone => Durability::Alone,
        io::Durability::Shared => Durability::Shared,
        io::Durability::HereOnly => Durability::HereOnly,
    }
}

async fn me(handle: &Handle) -> Result<(String, String), Failure> {
    handle.ask(|core, now| (core.me().to_string(), names::of_node(core, now, core.me()))).await
}

/// The command's own name, or a new one.
fn command_id(headers: &HeaderMap) -> Result<CommandId, Failure> {
    match headers.get("idempotency-key") {
        None => Ok(CommandId(random()?)),
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Problem::new(Code::Invalid, 422, "`Idempotency-Key` is no command's name")
                .detail(format!("{NotAnId}; none gives the command a name of its own"))
                .into()
        }),
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::from(
            Problem::new(Code::Internal, 500, "the system has no randomness").detail(error.to_string()),
        )
    })?;
    Ok(bytes)
}

/// The core answered a command with another command's reply.
pub(super) fn unexpected<T>() -> Answer<T> {
    Err(Problem::new(Code::Internal, 500, "the agent answered a different question").into())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn a_key_that_is_no_id_is_told_what_an_id_is() {
        let read = |key: &str| {
            let value = key.parse().expect("it may stand in a header");
            command_id(&[(HeaderName::from_static("idempotency-key"), value)].into_iter().collect())
        };
        // Of 26 characters and all of the alphabet, and not the name that any 16 bytes have.
        for key in ["ab".repeat(13), "a".repeat(25), "A".repeat(26), String::new()] {
            let Failure(problem) = read(&key).expect_err("it is no id");
            assert!(
                problem.detail.starts_with("an id is 26 characters of a-z and 2-7, the last"),
                "{problem:?}"
            );
        }
        for last in "aeimquy4".chars() {
            let key = format!("{}{last}", "ab".repeat(12) + "a");
            assert_eq!(read(&key).expect("it is an id").to_string(), key);
        }
    }
}
