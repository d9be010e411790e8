//! An engine's answers, read as facts.
//!
//! Engines answer with a status and a sentence; which sentence means what is known only from experience, so
//! each stands here as it was seen.

use bollard::errors::Error;
use sleep_wire::engine::EngineError;

use crate::text::{MESSAGE, clean};

/// What a failed call says.
pub(crate) fn read(call: &'static str, error: &Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code, message } => answered(*status_code, message),
        Error::DockerStreamError { error } => other(error),
        Error::RequestTimeoutError => EngineError::TimedOut { call },
        Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::SocketNotFoundError(_) => unreachable(&chain(error)),
        error => other(&error.to_string()),
    }
}

/// Nobody listens.
pub(crate) fn unreachable(message: &str) -> EngineError {
    EngineError::Unreachable { message: clean(message.as_bytes(), MESSAGE) }
}

/// None of the known ones.
pub(crate) fn other(message: &str) -> EngineError {
    EngineError::Other { message: clean(message.as_bytes(), MESSAGE) }
}

/// What a failed pull of `image` says: a registry that cannot be reached says nothing about the image.
pub(crate) fn pull(image: &str, error: EngineError) -> EngineError {
    let (EngineError::Other { message } | EngineError::BadCommand { message }) = &error else {
        return match error {
            EngineError::NoSuchContainer => no_such_image(image),
            error => error,
        };
    };
    let said = message.to_lowercase();
    let absent = [
        "manifest unknown",
        "not found",
        "does not exist",
        "name unknown",
        "invalid reference format",
        "no matching manifest",
        "must be lowercase",
    ];
    // "no such host … not found" is a name server's.
    let network =
        ["no such host", "lookup ", "dial tcp", "connection refused", "timeout", "server misbehaving"];
    if absent.iter().any(|words| said.contains(words)) && !network.iter().any(|words| said.contains(words)) {
        no_such_image(image)
    } else {
        error
    }
}

/// No store has it.
pub(crate) fn no_such_image(image: &str) -> EngineError {
    EngineError::NoSuchImage { image: clean(image.as_bytes(), MESSAGE) }
}

fn answered(status: u16, message: &str) -> EngineError {
    let said = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
    let cleaned = || clean(message.as_bytes(), MESSAGE);
    if status == 404 && says(&["no such image"]) {
        let image = message.split_once(": ").map_or(message, |(_, image)| image);
        return no_such_image(image);
    }
    if status == 404 && !says(&["exec", "network ", "runtime"]) {
        return EngineError::NoSuchContainer;
    }
    if status == 409 && says(&["already in use by container"]) {
        let name = message.split('"').nth(1).unwrap_or_default().trim_start_matches('/');
        return EngineError::NameTaken { name: clean(name.as_bytes(), MESSAGE) };
    }
    if says(&["port is already allocated", "address already in use", "ports are not available"]) {
        return EngineError::PortTaken { message: cleaned() };
    }
    let command = ["executable file not found", "exec format error", "no command specified"];
    let program = ["no such file or directory", "permission denied", "is a directory"];
    if says(&command) || (says(&["exec: ", "exec \""]) && says(&program)) {
        return EngineError::BadCommand { message: cleaned() };
    }
    EngineError::Other { message: cleaned() }
}

/// An error with its causes: the outermost of a connection's says only that there is one.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status_code: u16, message: &str) -> EngineError {
        read("create", &Error::DockerResponseServerError { status_code, message: message.to_owned() })
    }

    /// Sentences as engines 20.10 to 28 were seen to write them.
    #[test]
    fn sentences_become_facts() {
        let bad = |message: &str| EngineError::BadCommand { message: message.to_owned() };
        let taken = |message: &str| EngineError::PortTaken { message: message.to_owned() };
        assert_eq!(said(404, "No such image: nosuch:1"), no_such_image("nosuch:1"));
        assert_eq!(said(404, "No such container: 12ab"), EngineError::NoSuchContainer);
        assert_eq!(
            said(
                409,
                r#"Conflict. The container name "/web.1.x" is already in use by container "ab". You have"#
            ),
            EngineError::NameTaken { name: "web.1.x".to_owned() }
        );
        for message in [
            "driver failed programming external connectivity on endpoint a: Bind for 0.0.0.0:80 failed: port \
             is already allocated",
            "driver failed programming external connectivity on endpoint a: Error starting userland proxy: \
             listen tcp4 0.0.0.0:80: bind: address already in use",
        ] {
            assert_eq!(said(500, message), taken(message));
        }
        for (status, message) in [
            (
                400,
                r#"OCI runtime create failed: exec: "nosuch": executable file not found in $PATH: unknown"#,
            ),
            (404, r#"failed to create shim task: OCI: exec: "nosuch": executable file not found in $PATH"#),
            (500, r#"OCI runtime create failed: exec: "/etc": permission denied: unknown"#),
            (400, r#"OCI runtime create failed: exec: "/nosuch": stat /nosuch: no such file or directory"#),
            (400, "No command specified"),
        ] {
            assert_eq!(said(status, message), bad(message));
        }
        assert_eq!(said(500, "disk full"), EngineError::Other { message: "disk full".to_owned() });
        assert_eq!(said(404, "network abc not found"), other("network abc not found"));
    }

    #[test]
    fn a_registry_out_of_reach_says_nothing_of_the_image() {
        for message in [
            "manifest for busybox:nosuch not found: manifest unknown: manifest unknown",
            "pull access denied for nosuch, repository does not exist or may require 'docker login'",
        ] {
            assert_eq!(pull("i", other(message)), no_such_image("i"));
        }
        for message in [
            "Get \"https://registry.example/v2/\": dial tcp: lookup registry.example: no such host",
            "toomanyrequests: You have reached your pull rate limit",
            "unauthorized: authentication required",
        ] {
            assert_eq!(pull("i", other(message)), other(message));
        }
    }
}
