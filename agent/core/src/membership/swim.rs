//! foca, and the packets it exchanges.

use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU8, NonZeroUsize};
use core::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    BroadcastHandler, Codec, Config, Foca, Header, Member, Message, Notification, PeriodicParams, Runtime,
    State, Timer,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use sleep_wire::message::MAX_SWIM;
use sleep_wire::swim::{Peer, SwimCodec};

use super::profile::{FANOUT, Profile};

/// foca as this room uses it.
pub(super) type Engine = Foca<Peer, SwimCodec, SmallRng, NoBroadcasts>;

/// This room pushes nothing through foca but membership: records have a way of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoBroadcasts;

impl fmt::Display for NoBroadcasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a broadcast, where there are none")
    }
}

impl core::error::Error for NoBroadcasts {}

impl BroadcastHandler<Peer> for NoBroadcasts {
    type Key = &'static [u8];
    type Error = Self;

    fn receive_item(&mut self, _: &[u8], _: Option<&Peer>) -> Result<Option<Self::Key>, Self> {
        Err(Self)
    }

    fn should_add_broadcast_data(&self, _: &Peer) -> bool {
        false
    }
}

/// What foca wants done.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) sends: Vec<(Peer, Vec<u8>)>,
    pub(super) timers: Vec<(Timer<Peer>, Duration)>,
    /// The identity under which it goes on, after it was declared dead.
    pub(super) renewed: Option<Peer>,
}

impl Runtime<Peer> for &mut Effects {
    fn notify(&mut self, notification: Notification<'_, Peer>) {
        match notification {
            Notification::Rejoin(peer) => self.renewed = Some(*peer),
            // The table knows these already, or nobody asks.
            Notification::MemberUp(_)
            | Notification::MemberDown(_)
            | Notification::Rename(..)
            | Notification::Active
            | Notification::Idle
            | Notification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: Peer, data: &[u8]) {
        self.sends.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Peer>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// foca for one node.
pub(super) fn engine(me: Peer, profile: &Profile, seed: u64) -> Engine {
    let rng = SmallRng::seed_from_u64(seed);
    Foca::with_custom_broadcast(me, config(profile, 1), rng, SwimCodec, NoBroadcasts)
}

/// foca's configuration for a cluster of about so many members. It forgets nobody and seeks nobody by itself,
/// and it never lets a suspicion run out: this room does.
pub(super) fn config(profile: &Profile, members: usize) -> Config {
    const THREE: NonZeroUsize = NonZeroUsize::new(FANOUT).expect("a constant that is not 0");
    const SWIM: NonZeroUsize = NonZeroUsize::new(MAX_SWIM).expect("a constant that is not 0");
    Config {
        probe_period: profile.probe_period,
        probe_rtt: profile.probe_rtt,
        num_indirect_probes: THREE,
        max_transmissions: transmissions(members),
        suspect_to_down_after: profile.suspicion(members, 0, FANOUT),
        remove_down_after: None,
        max_packet_size: SWIM,
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams { frequency: profile.gossip_every, num_members: THREE }),
    }
}

/// How often one piece of news is passed on by each member. Where all pass it on to members picked at random,
/// one misses it with a chance of e to the minus so many; the roster digests find what was missed.
pub(super) fn transmissions(members: usize) -> NonZeroU8 {
    const LEAST: NonZeroU8 = NonZeroU8::new(10).expect("a constant that is not 0");
    LEAST.saturating_add(u8::try_from(members.max(1).ilog2() / 2).unwrap_or(u8::MAX))
}

/// One of foca's packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) header: Header<Peer>,
    pub(super) updates: Vec<Member<Peer>>,
}

impl Packet {
    /// Reads a packet; `None` if it is none, or carries what this room has no use for.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_SWIM {
            return None;
        }
        let header = SwimCodec.decode_header(&mut bytes).ok()?;
        let mut updates = Vec::new();
        if bytes.len() >= 2 {
            for _ in 0..bytes.get_u16() {
                updates.push(SwimCodec.decode_member(&mut bytes).ok()?);
            }
        }
        let bare = matches!(header.message, Message::Announce | Message::TurnUndead);
        let useful = header.message != Message::Broadcast && (!bare || updates.is_empty());
        (bytes.is_empty() && useful).then_some(Self { header, updates })
    }

    /// The packet's bytes, in foca's own layout.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + 32 * self.updates.len());
        let written = SwimCodec.encode_header(&self.header, &mut bytes);
        written.expect("a vector takes any number of bytes");
        if !matches!(self.header.message, Message::Announce | Message::TurnUndead) {
            bytes.put_u16(u16::try_from(self.updates.len()).expect("as many as one packet had"));
        }
        for update in &self.updates {
            SwimCodec.encode_member(update, &mut bytes).expect("a vector takes any number of bytes");
        }
        bytes
    }

    /// Whether foca would look into it, being `me`.
    pub(super) fn is_for(&self, me: &Peer) -> bool {
        self.header.dst == *me
            || (self.header.message == Message::Announce && self.header.dst.node == me.node)
    }

    /// What its mere arrival says of its sender.
    pub(super) fn sender(&self) -> Member<Peer> {
        Member::new(self.header.src, self.header.src_incarnation, State::Alive)
    }
}
