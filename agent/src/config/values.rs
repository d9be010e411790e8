//! Text into values, each with what is wrong with it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use sleep_core::io::Refusal;
use sleep_core::validate;
use sleep_net::DEFAULT_PORT;

use super::{ConfigError, Driver, LogFormat, Origin};

/// The TCP port of health and metrics.
const API_PORT: u16 = 7534;

/// The longest path of a socket, in bytes: what the kernel's address has room for, beside a final zero.
const MAX_SOCKET_PATH: usize = 107;

pub(super) fn name(text: &str) -> Result<String, String> {
    said(validate::node_name("name", text)).map(|()| text.to_owned())
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{}` is not KEY=VALUE", shown(text)))?;
    said(validate::label(key, Some(value))).map(|()| (key.to_owned(), value.to_owned()))
}

/// The labels by key, unless one is given twice.
pub(super) fn each_once(
    mut labels: Vec<(String, String)>,
    origin: Origin,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut keys = BTreeSet::new();
    if let Some((key, _)) = labels.iter().find(|(key, _)| !keys.insert(key)) {
        return Err(ConfigError::Value { origin, problem: format!("the label `{key}` is given twice") });
    }
    labels.sort();
    Ok(labels)
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is not a path".to_owned());
    }
    std::path::absolute(text).map_err(|error| format!("`{}` has no absolute path: {error}", shown(text)))
}

pub(super) fn socket(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    let len = path.as_os_str().len();
    if len > MAX_SOCKET_PATH {
        return Err(format!("is a path of {len} bytes, where a socket's has at most {MAX_SOCKET_PATH}"));
    }
    Ok(path)
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    address(text, DEFAULT_PORT)
}

pub(super) fn advertise(text: &str) -> Result<SocketAddr, String> {
    let address = address(text, DEFAULT_PORT)?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err(format!("`{}` is not an address that others could dial", shown(text)));
    }
    Ok(address)
}

pub(super) fn api(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let address = address(text, API_PORT)?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "`{}` is not a loopback address; other hosts are served over QUIC, with a key",
            shown(text)
        ));
    }
    Ok(Some(address))
}

pub(super) fn driver(text: &str) -> Result<Driver, String> {
    match text {
        "auto" => Ok(Driver::Auto),
        "docker" => Ok(Driver::Docker),
        "process" => Ok(Driver::Process),
        other => Err(format!("`{}` is none of auto, docker, process", shown(other))),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("`{}` is none of text, json", shown(other))),
    }
}

pub(super) fn docker_host(text: &str) -> Result<String, String> {
    let known = ["unix://", "tcp://", "http://"];
    if known.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())) {
        return Ok(text.to_owned());
    }
    if text.starts_with('/') {
        return Ok(format!("unix://{text}"));
    }
    Err(format!("`{}` is none of unix:///PATH, tcp://HOST:PORT, http://HOST:PORT", shown(text)))
}

/// `ADDR`, `ADDR:PORT`, `[IPV6]:PORT`. Names are not looked up: an agent must start without a resolver.
fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, port))
        .map_err(|_| format!("`{}` is not an IP address with or without a port", shown(text)))
}

fn said(verdict: Result<(), Refusal>) -> Result<(), String> {
    verdict.map_err(|refusal| match refusal {
        Refusal::Invalid { problem, .. } => problem,
        other => format!("{other:?}"),
    })
}

/// What was typed, short and without control characters.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}
