//! `sleepctl operator …`.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hyper::Method;
use sleep_wire::api::{OperatorCreate, OperatorCreated, OperatorView};

use super::{Context, each};
use crate::args::OperatorCommand;
use crate::client::{default_key, path};
use crate::error::Error;
use crate::key;
use crate::output::json;

pub(super) async fn run(context: Context<'_>, command: OperatorCommand) -> Result<(), Error> {
    match command {
        OperatorCommand::Create { name, key } => create(&context, name, key).await,
        OperatorCommand::Ls => {
            let operators: Vec<OperatorView> = context.client.get("/v1/operators").await?;
            context.output.list(&operators)
        }
        OperatorCommand::Rm { operators } => remove(&context, &operators).await,
    }
}

async fn remove(context: &Context<'_>, typed: &[String]) -> Result<(), Error> {
    let mut meant = Vec::new();
    for typed in typed {
        let OperatorView { id, name, .. } = context.client.get(&path(&["operators", typed])).await?;
        meant.push(json::Named { id, name });
    }
    let meant = each::once(meant);
    if !context.global.yes {
        let names: Vec<&str> = meant.iter().map(|named| named.name.as_str()).collect();
        let names = names.join(", ");
        context.output.confirm(&format!("{names}: a key that is taken out is never admitted again."))?;
    }
    let remove = async |operator: &json::Named| {
        context.client.tell(Method::DELETE, &path(&["operators", &operator.id]), &()).await
    };
    let outcome = each::change(context, meant, remove).await;
    outcome.tell(context, typed.len() > 1, |operator| format!("{}: removed", operator.name))
}

async fn create(context: &Context<'_>, name: String, path: Option<PathBuf>) -> Result<(), Error> {
    let path = path.map_or_else(default_key, Ok)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::internal("no randomness", &error))?;
    let public_key = key::to_hex(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
    // First the file: a key that nobody has must not be admitted.
    keep(&path, &key::to_hex(&seed)).map_err(|what| Error::Failed {
        what,
        lines: vec!["nothing changed".to_owned()],
        hint: format!("sleepctl operator create {name} --key {}", another(&path, &name)),
    })?;
    let create = OperatorCreate { name: name.clone(), public_key: public_key.clone() };
    let OperatorCreated { id, durability, .. } =
        match context.client.tell(Method::POST, "/v1/operators", &create).await {
            Ok(created) => created,
            // Only a refusal says that it was not admitted: whoever has not heard the answer keeps the key.
            Err(error) => {
                if matches!(error, Error::Refused(..)) {
                    fs::remove_file(&path)
                        .map_err(|error| Error::internal("a key that is of no use", &error))?;
                }
                return Err(error);
            }
        };
    context.durable(durability);
    let hosts = context.status.addresses.first().cloned().unwrap_or_else(|| context.status.name.clone());
    let words = format!(
        "{name} may command this cluster from anywhere with the key in {}\n\n\
         For example:\n\n  sleepctl -H quic://{hosts} node ls",
        path.display()
    );
    let admitted = json::Admitted { id: id.clone(), name: name.clone(), public_key };
    context.output.done(&admitted, &name, &id, &words)
}

/// Where a key may go that cannot go there.
fn another(path: &Path, name: &str) -> String {
    let here = format!("{name}.key");
    if path == Path::new(&here) { format!("~/{here}") } else { here }
}

/// Writes a key to where there is none; what is wrong, in words.
fn keep(path: &Path, text: &str) -> Result<(), String> {
    let trouble = |error: io::Error| format!("cannot write the key {}: {error}", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(trouble)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("there is a key in {} already", path.display()),
        _ => trouble(error),
    })?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(|error| {
        // Half a key is of no use, and in the way of a whole one.
        drop(fs::remove_file(path));
        trouble(error)
    })
}
