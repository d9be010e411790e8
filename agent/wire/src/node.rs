//! What a node says of itself, and what people want of it.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::Wire;
use crate::id::{CommandId, WallTime};
use crate::spec::Runtime;

/// Body of a node's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeFacts {
    /// What people call it.
    pub name: String,
    /// Where its agent listens, best first.
    pub addresses: Vec<Address>,
    /// The release of its agent.
    pub release: String,
    /// The newest protocol that its agent speaks.
    pub protocol: u8,
    /// As the kernel calls it: `x86_64`, `aarch64`.
    pub architecture: String,
    /// As the kernel calls it: `linux`.
    pub os: String,
    /// In thousandths of a core.
    pub cpu_milli: u64,
    /// In bytes.
    pub memory: u64,
    /// What can run tasks there.
    pub runtimes: Vec<RuntimeFacts>,
    /// Labels that the host itself sets, as `key=value`.
    pub labels: Vec<String>,
    /// Its wall clock when this was written: for people who wonder whose clock is wrong.
    pub wall: WallTime,
    /// Cluster time when this was written, in milliseconds: what `wall` is compared with.
    pub at_ms: u64,
}

/// An address of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Address {
    /// IPv4.
    V4([u8; 4], u16),
    /// IPv6.
    V6([u8; 16], u16),
}

impl From<core::net::SocketAddr> for Address {
    fn from(address: core::net::SocketAddr) -> Self {
        match address.ip().to_canonical() {
            core::net::IpAddr::V4(ip) => Self::V4(ip.octets(), address.port()),
            core::net::IpAddr::V6(ip) => Self::V6(ip.octets(), address.port()),
        }
    }
}

impl From<Address> for core::net::SocketAddr {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(ip, port) => (ip, port).into(),
            Address::V6(ip, port) => (ip, port).into(),
        }
    }
}

/// One runtime of a node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RuntimeFacts {
    /// Which.
    pub runtime: Runtime,
    /// The engine's own id: two agents on one engine are a mistake.
    pub engine: String,
    /// The engine's version.
    pub version: String,
    /// What is wrong with it; empty if it is well. A node whose engine is ill gets no new work.
    pub ill: String,
}

/// Whether a node takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cfg_attr(feature = "api", derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema))]
#[cfg_attr(feature = "api", serde(rename_all = "snake_case"))]
pub enum Availability {
    /// It does.
    Active,
    /// No new work; what runs stays.
    Paused,
    /// No work at all: what runs moves away.
    Drained,
}

/// Body of a node's availability register.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeIntent {
    /// Whether it takes work.
    pub availability: Availability,
    /// The command that said so.
    pub command: CommandId,
    /// For display.
    pub at: WallTime,
}

/// Body of a node label's register.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeLabel {
    /// `None` removes it.
    pub value: Option<String>,
    /// The command that said so.
    pub command: CommandId,
}

/// Body of [`crate::key::DesiredKey::Horizon`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Horizon {
    /// Tombstones stamped earlier are gone, in milliseconds of cluster time.
    pub gc_before_ms: u64,
}

/// Body of a node's images: what is there already need not be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NodeImages {
    /// Names as the engine lists them, sorted.
    pub images: Vec<String>,
}

impl Wire for NodeFacts {
    const LIMIT: usize = 16 * 1024;
}
impl Wire for NodeIntent {
    const LIMIT: usize = 256;
}
impl Wire for NodeLabel {
    const LIMIT: usize = 1024;
}
impl Wire for Horizon {
    const LIMIT: usize = 64;
}
impl Wire for NodeImages {
    const LIMIT: usize = 64 * 1024;
}
