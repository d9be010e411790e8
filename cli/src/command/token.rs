//! `sleepctl cluster token …`.

use std::time::Duration;

use hyper::Method;
use sleep_wire::api::{TokenCreate, TokenCreated, TokenView};
use sleep_wire::trust::Role;

use super::{Context, each};
use crate::args::{RoleArg, TokenCommand};
use crate::client::path;
use crate::error::Error;
use crate::output::json;

/// The most addresses of a line to paste.
const MAX_ADDRESSES: usize = 3;

pub(super) async fn run(context: &Context<'_>, command: TokenCommand) -> Result<(), Error> {
    match command {
        TokenCommand::Create { ttl, single_use, role } => create(context, role, ttl, single_use, false).await,
        TokenCommand::Rotate { role, ttl } => create(context, role, ttl, false, true).await,
        TokenCommand::Ls => {
            let tokens: Vec<TokenView> = context.client.get("/v1/tokens").await?;
            context.output.list(&tokens)
        }
        TokenCommand::Rm { token } => {
            let token: TokenView = context.client.get(&path(&["tokens", &token])).await?;
            let named = json::Named { name: token.id.clone(), id: token.id };
            let revoke = async |token: &json::Named| {
                context.client.tell(Method::DELETE, &path(&["tokens", &token.id]), &()).await
            };
            let outcome = each::change(context, [named], revoke).await;
            outcome.tell(context, false, |token| format!("{}: revoked", token.id))
        }
    }
}

async fn create(
    context: &Context<'_>,
    role: RoleArg,
    ttl: Duration,
    single_use: bool,
    rotate: bool,
) -> Result<(), Error> {
    let ttl_ms = (!ttl.is_zero()).then(|| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    let create = TokenCreate { role: role.into(), ttl_ms, single_use, rotate };
    let made: TokenCreated = context.client.tell(Method::POST, "/v1/tokens", &create).await?;
    context.durable(made.durability);
    let line = join_line(&made.token, &made.addresses);
    context.output.done(&made, &made.id, &made.token, &format!("On the host that shall join:\n\n  {line}"))
}

/// What to paste on a host that shall join.
pub(super) fn join_line(token: &str, addresses: &[String]) -> String {
    let addresses: Vec<&str> = addresses.iter().take(MAX_ADDRESSES).map(String::as_str).collect();
    format!("sleepctl cluster join --token {token} {}", addresses.join(" "))
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Control => Self::Control,
            RoleArg::Worker => Self::Worker,
        }
    }
}
