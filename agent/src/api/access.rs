//! Who may come in, and who may command: join tokens, and operators' keys.

use axum::Json;
use axum::extract::State;
use sleep_core::io::{Command, Reply};
use sleep_wire::PublicKey;
use sleep_wire::api::*;

use super::commands::{changed, durable, random, unexpected};
use super::extract::{Body, Path};
use super::openapi::Problems;
use super::queries::{clustered, no_such};
use super::render::Words;
use super::{Failure, Handle, names};

type Answer<T> = Result<Json<T>, Failure>;

#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "cluster",
    summary = "List join tokens",
    responses((status = 200, description = "Done", body = Vec<TokenView>), Problems),
)]
pub(super) async fn tokens(State(handle): State<Handle>) -> Answer<Vec<TokenView>> {
    clustered(&handle, |core, now| {
        let words = Words::new(core, now);
        core.tokens(now).iter().map(|row| words.token(row)).collect()
    })
    .await
}

#[utoipa::path(
    get,
    path = "/v1/tokens/{token}",
    tag = "cluster",
    summary = "Show a join token",
    params(
        ("token" = String, Path, description = "Its id, or the beginning of it"),
    ),
    responses((status = 200, description = "Done", body = TokenView), Problems),
)]
pub(super) async fn token(State(handle): State<Handle>, Path(token): Path<String>) -> Answer<TokenView> {
    let found = handle
        .ask(move |core, now| {
            let id = names::token(core, now, &token)?;
            let row = core.tokens(now).into_iter().find(|row| row.id == id);
            row.map(|row| Words::new(core, now).token(&row))
                .ok_or_else(|| no_such("join token", &token, Code::NoSuchToken))
        })
        .await??;
    Ok(Json(found))
}

#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "cluster",
    summary = "Make a join token",
    request_body = TokenCreate,
    responses((status = 200, description = "Done", body = TokenCreated), Problems),
)]
pub(super) async fn token_create(
    State(handle): State<Handle>,
    Body(create): Body<TokenCreate>,
) -> Answer<TokenCreated> {
    let TokenCreate { role, ttl_ms, single_use, rotate } = create;
    let command = Command::TokenCreate { seed: random()?, role, ttl_ms, single_use, rotate };
    let Reply::Token { token, id, durability } = handle.command(command).await? else {
        return unexpected();
    };
    let addresses = (handle.shared.addresses)();
    let durability = durable(durability);
    Ok(Json(TokenCreated { token: token.to_string(), id: id.to_string(), addresses, durability }))
}

#[utoipa::path(
    delete,
    path = "/v1/tokens/{token}",
    tag = "cluster",
    summary = "Revoke a join token",
    params(
        ("token" = String, Path, description = "Its id, or the beginning of it"),
    ),
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn token_revoke(State(handle): State<Handle>, Path(text): Path<String>) -> Answer<Changed> {
    let token = handle.ask(move |core, now| names::token(core, now, &text)).await??;
    changed(handle.command(Command::TokenRevoke { token }).await?)
}

#[utoipa::path(
    get,
    path = "/v1/operators",
    tag = "cluster",
    summary = "List operators",
    responses((status = 200, description = "Done", body = Vec<OperatorView>), Problems),
)]
pub(super) async fn operators(State(handle): State<Handle>) -> Answer<Vec<OperatorView>> {
    clustered(&handle, |core, now| {
        let words = Words::new(core, now);
        core.operators().iter().map(|row| words.operator(row)).collect()
    })
    .await
}

#[utoipa::path(
    get,
    path = "/v1/operators/{operator}",
    tag = "cluster",
    summary = "Show an operator",
    params(
        ("operator" = String, Path, description = "A name that one operator has, an id, or its beginning"),
    ),
    responses((status = 200, description = "Done", body = OperatorView), Problems),
)]
pub(super) async fn operator(
    State(handle): State<Handle>,
    Path(operator): Path<String>,
) -> Answer<OperatorView> {
    let found = handle
        .ask(move |core, now| {
            let id = names::operator(core, &operator)?;
            let row = core.operators().into_iter().find(|row| row.id == id);
            row.map(|row| Words::new(core, now).operator(&row))
                .ok_or_else(|| no_such("operator", &operator, Code::NoSuchOperator))
        })
        .await??;
    Ok(Json(found))
}

#[utoipa::path(
    post,
    path = "/v1/operators",
    tag = "cluster",
    summary = "Admit an operator's key",
    request_body = OperatorCreate,
    responses((status = 200, description = "Done", body = OperatorCreated), Problems),
)]
pub(super) async fn operator_create(
    State(handle): State<Handle>,
    Body(create): Body<OperatorCreate>,
) -> Answer<OperatorCreated> {
    let key = from_hex(&create.public_key).ok_or_else(|| {
        Failure::from(Problem::new(Code::Invalid, 422, "`public_key` is not 64 hexadecimal digits"))
    })?;
    let key = PublicKey(key);
    let id = handle.ask(move |core, _| core.id_of(&key).to_string()).await?;
    let Json(Changed { changed, durability }) =
        changed(handle.command(Command::OperatorCreate { name: create.name, key }).await?)?;
    Ok(Json(OperatorCreated { id, changed, durability }))
}

#[utoipa::path(
    delete,
    path = "/v1/operators/{operator}",
    tag = "cluster",
    summary = "Take an operator's key out, for good",
    params(
        ("operator" = String, Path, description = "A name that one operator has, an id, or its beginning"),
    ),
    responses((status = 200, description = "Done", body = Changed), Problems),
)]
pub(super) async fn operator_remove(
    State(handle): State<Handle>,
    Path(operator): Path<String>,
) -> Answer<Changed> {
    let operator = handle.ask(move |core, _| names::operator(core, &operator)).await??;
    changed(handle.command(Command::OperatorRemove { operator }).await?)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
