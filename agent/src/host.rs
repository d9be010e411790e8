//! What this host is: its clocks, its addresses, its size. Read from the kernel, never guessed.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use sleep_core::{Instant, Now};
use sleep_wire::node::{Address, NodeFacts};
use sleep_wire::{RELEASE, WallTime, message::PROTOCOL};

/// Both clocks, read now. The boot clock runs on while the host sleeps.
pub fn now() -> Now {
    let boot = clock_gettime(ClockId::Boottime);
    let micros = u64::try_from(boot.tv_sec).unwrap_or(0) * 1_000_000
        + u64::try_from(boot.tv_nsec).unwrap_or(0) / 1_000;
    Now { instant: Instant(micros), wall: wall() }
}

/// The wall clock, however wrong.
pub fn wall() -> WallTime {
    let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    };
    WallTime(ms)
}

/// Differs between two boots of one host.
///
/// # Errors
/// If the kernel does not say.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The host's own name, as far as a node may be called so.
pub fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let first = name.split('.').next().unwrap_or_default();
    let fits: String =
        first.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(63).collect();
    if fits.is_empty() { "node".to_owned() } else { fits }
}

/// Where others may reach an agent that listens on `listening`: given addresses first, else each address of
/// each interface, those of the wider networks first.
///
/// # Errors
/// If the kernel does not list the interfaces.
pub fn addresses(advertised: &[SocketAddr], listening: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    if !advertised.is_empty() {
        return Ok(advertised.to_vec());
    }
    let mut found = Vec::new();
    for socket in listening {
        if !socket.ip().is_unspecified() {
            found.push(*socket);
            continue;
        }
        for interface in if_addrs::get_if_addrs()? {
            let ip = interface.ip();
            let spoken = ip.is_ipv4() || socket.is_ipv6();
            if spoken && reachable(&interface.name, ip) {
                found.push(SocketAddr::new(ip, socket.port()));
            }
        }
    }
    found.sort_by_key(|address| (address.ip().is_loopback(), address.is_ipv6(), *address));
    found.dedup();
    // A host with a network is not reached at its loopback address.
    if found.iter().any(|address| !address.ip().is_loopback()) {
        found.retain(|address| !address.ip().is_loopback());
    }
    found.truncate(MAX_ADDRESSES);
    Ok(found)
}

/// The most addresses that a node tells of itself.
const MAX_ADDRESSES: usize = 8;

/// Bridges of container engines have the same address on every host; link-local ones mean nothing elsewhere.
fn reachable(interface: &str, ip: IpAddr) -> bool {
    let engine = ["docker", "br-", "veth", "cni", "podman", "virbr", "docker_gwbridge"];
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0) == 0xfe80,
    };
    !link_local && !engine.iter().any(|prefix| interface.starts_with(prefix))
}

/// What a node says of its host.
pub fn facts(name: String, addresses: &[SocketAddr], labels: Vec<String>) -> NodeFacts {
    let uname = rustix::system::uname();
    NodeFacts {
        name,
        addresses: addresses.iter().map(|address| Address::from(*address)).collect(),
        release: RELEASE.to_owned(),
        protocol: PROTOCOL,
        architecture: uname.machine().to_string_lossy().into_owned(),
        os: uname.sysname().to_string_lossy().to_lowercase(),
        cpu_milli: std::thread::available_parallelism().map_or(1_000, |cores| cores.get() as u64 * 1_000),
        memory: memory(),
        runtimes: Vec::new(),
        labels,
        wall: wall(),
        at_ms: 0,
    }
}

fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit) * info.totalram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_does_not_go_back() {
        let (first, second) = (now(), now());
        assert!(first.instant <= second.instant);
    }

    #[test]
    fn advertised_addresses_are_all_that_is_told() {
        let advertised = ["203.0.113.7:7533".parse().expect("a socket address")];
        let listening = ["0.0.0.0:7533".parse().expect("a socket address")];
        assert_eq!(addresses(&advertised, &listening).expect("nothing is asked of the kernel"), advertised);
    }

    #[test]
    fn an_unspecified_address_is_never_told() {
        let listening = ["[::]:7533".parse().expect("a socket address")];
        let told = addresses(&[], &listening).expect("the kernel lists its interfaces");
        assert!(
            told.iter().all(|address| !address.ip().is_unspecified() && address.port() == 7533),
            "{told:?}"
        );
    }
}
