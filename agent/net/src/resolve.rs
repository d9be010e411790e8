//! What people type as an address: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, with or without `quic://`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::net::lookup_host;

use crate::error::NetError;
use crate::socket::canonical;

/// The UDP port of an agent, unless it says otherwise.
pub const DEFAULT_PORT: u16 = 7533;

/// Splits what was typed into host and port.
fn split(text: &str) -> (&str, u16) {
    let text = text.trim();
    let text = text.strip_prefix("quic://").unwrap_or(text).trim_end_matches('/');
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
        return (host, port.unwrap_or(DEFAULT_PORT));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return (text, DEFAULT_PORT);
    }
    match text.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => (text, DEFAULT_PORT),
        },
        None => (text, DEFAULT_PORT),
    }
}

/// The addresses of some hosts, in their order, each once.
pub(crate) async fn resolve(hosts: &[String]) -> Result<Vec<SocketAddr>, NetError> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut unknown = None;
    for host in hosts {
        let (name, port) = split(host);
        match lookup(name, port).await {
            Ok(found) => {
                for address in found {
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
            }
            Err(problem) => unknown = Some(NetError::Resolve { host: host.clone(), problem }),
        }
    }
    match unknown {
        Some(error) if addresses.is_empty() => Err(error),
        Some(_) | None => Ok(addresses),
    }
}

async fn lookup(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![canonical(SocketAddr::new(ip, port))]);
    }
    let found = lookup_host((name, port)).await.map_err(|error| error.to_string())?;
    Ok(found.map(canonical).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_read() {
        let cases = [
            ("pi-3", ("pi-3", 7533)),
            ("pi-3:1", ("pi-3", 1)),
            ("quic://pi-3:1/", ("pi-3", 1)),
            ("10.0.0.1", ("10.0.0.1", 7533)),
            ("10.0.0.1:2", ("10.0.0.1", 2)),
            ("fe80::1", ("fe80::1", 7533)),
            ("[fe80::1]", ("fe80::1", 7533)),
            ("[fe80::1]:3", ("fe80::1", 3)),
            ("quic://[::1]:3", ("::1", 3)),
        ];
        for (typed, meant) in cases {
            assert_eq!(split(typed), meant, "{typed}");
        }
    }
}
