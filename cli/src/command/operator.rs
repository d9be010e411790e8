//! `sleepctl operator …`.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hyper::Method;
use sleep_wire::api::{Changed, OperatorCreate, OperatorView};

use super::Context;
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

async fn remove(context: &Context<'_>, operators: &[String]) -> Result<(), Error> {
    if !context.global.yes {
        let names = operators.join(", ");
        context.output.confirm(&format!("{names}: a key that is taken out is never admitted again."))?;
    }
    for operator in operators {
        let path = path(&["operators", operator]);
        let changed: Changed = context.client.tell(Method::DELETE, &path, &()).await?;
        context.durable(changed.durability);
        let named = json::Named { id: operator.clone(), name: operator.clone() };
        context.output.done(&named, operator, operator, &format!("{operator}: removed"))?;
    }
    Ok(())
}

async fn create(context: &Context<'_>, name: String, path: Option<PathBuf>) -> Result<(), Error> {
    let path = path.map_or_else(default_key, Ok)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::internal("no randomness", &error))?;
    let public_key = key::to_hex(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
    // First the file: a key that nobody has must not be admitted.
    keep(&path, &key::to_hex(&seed)).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Failed {
            what: format!("there is a key in {} already", path.display()),
            lines: vec!["nothing changed".to_owned()],
            hint: format!("sleepctl operator create {name} --key {name}.key"),
        },
        _ => Error::Key { path: path.clone(), problem: error.to_string() },
    })?;
    let create = OperatorCreate { name: name.clone(), public_key: public_key.clone() };
    let changed: Changed = match context.client.tell(Method::POST, "/v1/operators", &create).await {
        Ok(changed) => changed,
        // Only a refusal says that it was not admitted: whoever has not heard the answer keeps the key.
        Err(error) => {
            if matches!(error, Error::Refused(..)) {
                fs::remove_file(&path).map_err(|error| Error::internal("a key that is of no use", &error))?;
            }
            return Err(error);
        }
    };
    context.durable(changed.durability);
    let hosts = context.status.addresses.first().cloned().unwrap_or_else(|| context.status.name.clone());
    let words = format!(
        "{name} may command this cluster from anywhere with the key in {}\n\n\
         For example:\n\n  sleepctl -H quic://{hosts} node ls",
        path.display()
    );
    context.output.done(
        &json::Named { id: public_key.clone(), name: name.clone() },
        &name,
        &public_key,
        &words,
    )
}

fn keep(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
