//! Hosts, as people type them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// Where a local agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/sleepd/sleepd.sock";

/// Where an agent may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A unix socket.
    Unix(PathBuf),
    /// A host's QUIC port, with an operator's key.
    Quic(String),
    /// Another host's local socket, through the system's ssh: what to give to ssh, and the socket if not the
    /// default.
    Ssh(String, Option<PathBuf>),
}

impl Host {
    /// Those typed, or the local socket.
    ///
    /// # Errors
    /// [`Error::Usage`] if one is not a host.
    pub fn all(typed: &[String]) -> Result<Vec<Self>, Error> {
        if typed.is_empty() {
            return Ok(vec![Self::Unix(PathBuf::from(DEFAULT_SOCKET))]);
        }
        typed.iter().map(|host| host.parse()).collect()
    }
}

impl FromStr for Host {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |problem: &str| Error::Usage(format!("`{}` is not a host: {problem}", text.escape_debug()));
        if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("expected a path, unix://PATH, quic://HOST[:PORT], HOST, or ssh://[USER@]HOST"));
        }
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(bad("its path is not absolute"))
            };
        }
        if text.starts_with(['/', '.']) {
            return Ok(Self::Unix(text.into()));
        }
        if let Some(rest) = text.strip_prefix("ssh://") {
            let (target, socket) = match rest.split_once('/') {
                Some((target, path)) if !path.is_empty() => (target, Some(PathBuf::from(format!("/{path}")))),
                Some((target, _)) => (target, None),
                None => (rest, None),
            };
            // What begins with a dash would be an option of ssh.
            if target.is_empty() || target.starts_with('-') {
                return Err(bad("ssh:// wants [USER@]HOST[:PORT]"));
            }
            return Ok(Self::Ssh(target.to_owned(), socket));
        }
        match text.split_once("://") {
            Some(("quic", "")) => Err(bad("quic:// wants HOST[:PORT]")),
            Some(("quic", host)) => Ok(Self::Quic(host.to_owned())),
            Some((scheme, _)) => Err(bad(&format!("`{scheme}` is none of unix, quic, ssh"))),
            None => Ok(Self::Quic(text.to_owned())),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Quic(host) => write!(f, "quic://{host}"),
            Self::Ssh(target, None) => write!(f, "ssh://{target}"),
            Self::Ssh(target, Some(socket)) => write!(f, "ssh://{target}{}", socket.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<Host> {
        text.parse().ok()
    }

    #[test]
    fn a_bare_name_is_a_quic_host_and_a_path_is_a_socket() {
        assert_eq!(host("pi-1"), Some(Host::Quic("pi-1".to_owned())));
        assert_eq!(host("quic://pi-1:7533"), Some(Host::Quic("pi-1:7533".to_owned())));
        assert_eq!(host("./a.sock"), Some(Host::Unix("./a.sock".into())));
        assert_eq!(host("unix:///run/x.sock"), Some(Host::Unix("/run/x.sock".into())));
        assert_eq!(host("ssh://ada@pi-1"), Some(Host::Ssh("ada@pi-1".to_owned(), None)));
        for bad in ["", "unix://x", "tcp://x", "ssh://", "ssh://-oProxyCommand=x", "a b", "quic://", "a\0"] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }
}
