//! foca alone: SWIM with suspicion, gossip and rejoining, as its documentation recommends, and nothing of
//! this project's. The baseline.
//!
//! # Not here
//! Local health, witnesses, holding down, rosters: plain foca has none.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Config, Foca, Member, NoCustomBroadcast, Notification, PeriodicParams, Runtime, Timer};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use sleep_core::membership::Profile;
use sleep_wire::message::Message;
use sleep_wire::swim::{Peer, SwimCodec};

use super::agent::{Agent, Being, Effects, Start, index, peer};
use crate::world::Time;

/// foca's numbers.
#[derive(Clone, Debug)]
pub(super) struct Pace(Config);

impl Pace {
    /// What `foca::Config::new_lan` gives, which needs foca's `std` and with it another foca for the agent.
    pub(super) fn lan(members: usize) -> Self {
        let period = Duration::from_secs(1);
        let suspicion = (members as f64).log10().max(1.0) * 4.0;
        Self(config(members, period, Duration::from_millis(500), Duration::from_secs_f64(suspicion)))
    }

    /// The same, but as quick to probe and to call dead as this project's membership is at its quickest.
    pub(super) fn ours(members: usize) -> Self {
        let Profile { probe_period, probe_rtt, .. } = Profile::LAN;
        Self(config(members, probe_period, probe_rtt, Profile::LAN.suspicion(members, 3, 3)))
    }
}

fn config(members: usize, period: Duration, round_trip: Duration, suspicion: Duration) -> Config {
    let transmissions = (members as f64 + 1.0).log10() * 4.0;
    let every = |seconds, count| {
        Some(PeriodicParams { frequency: Duration::from_secs(seconds), num_members: some(count) })
    };
    Config {
        probe_period: period,
        probe_rtt: round_trip,
        num_indirect_probes: some(3),
        max_transmissions: NonZeroU8::new(transmissions as u8).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: suspicion,
        remove_down_after: Some(Duration::from_secs(24 * 60 * 60)),
        max_packet_size: some(1400),
        notify_down_members: true,
        periodic_announce: every(30, 1),
        periodic_announce_to_down_members: every(65, 2),
        periodic_gossip: Some(PeriodicParams { frequency: Duration::from_millis(200), num_members: some(3) }),
    }
}

fn some(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

/// One node's foca, and its timers.
pub(super) struct Plain {
    foca: Foca<Peer, SwimCodec, SmallRng, NoCustomBroadcast>,
    timers: BTreeMap<(Time, u64), Timer<Peer>>,
    armed: u64,
}

impl Plain {
    pub(super) fn new(being: Being, pace: Pace, start: Start, now: Time, effects: &mut Effects) -> Self {
        let rng = SmallRng::seed_from_u64(being.seed);
        let foca = Foca::new(peer(being.node), pace.0, rng, SwimCodec);
        let mut plain = Self { foca, timers: BTreeMap::new(), armed: 0 };
        let others = (0..being.count).filter(|node| *node != being.node);
        match start {
            Start::Settled => plain.act(now, effects, |foca, host| {
                drop(foca.apply_many(others.map(|node| Member::alive(peer(node))), false, host));
            }),
            Start::Joining if being.node != 0 => {
                plain.act(now, effects, |foca, host| drop(foca.announce(peer(0), host)));
            }
            Start::Joining => {}
        }
        plain
    }

    fn act(
        &mut self,
        now: Time,
        effects: &mut Effects,
        act: impl FnOnce(&mut Foca<Peer, SwimCodec, SmallRng, NoCustomBroadcast>, &mut Host<'_>),
    ) {
        let mut host = Host { now, effects, timers: &mut self.timers, armed: &mut self.armed };
        act(&mut self.foca, &mut host);
    }
}

impl Agent for Plain {
    fn hear(&mut self, now: Time, _: usize, message: Message, effects: &mut Effects) {
        // What foca cannot use it says so of, and goes on.
        if let Message::Swim(bytes) = message {
            self.act(now, effects, |foca, host| drop(foca.handle_data(&bytes, host)));
        }
    }

    fn tick(&mut self, now: Time, effects: &mut Effects) {
        let later = self.timers.split_off(&(now + 1, 0));
        let mut due: Vec<Timer<Peer>> = std::mem::replace(&mut self.timers, later).into_values().collect();
        // foca's order for timers that a late loop fires together.
        due.sort();
        for timer in due {
            self.act(now, effects, |foca, host| drop(foca.handle_timer(timer, host)));
        }
    }

    fn next_wake(&self) -> Option<Time> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }
}

/// Does what foca wants done.
struct Host<'a> {
    now: Time,
    effects: &'a mut Effects,
    timers: &'a mut BTreeMap<(Time, u64), Timer<Peer>>,
    armed: &'a mut u64,
}

impl Runtime<Peer> for Host<'_> {
    fn notify(&mut self, notification: Notification<'_, Peer>) {
        match notification {
            Notification::MemberUp(peer) => self.effects.told.push((index(peer.node), true)),
            Notification::MemberDown(peer) => self.effects.told.push((index(peer.node), false)),
            Notification::Rename(..)
            | Notification::Active
            | Notification::Idle
            | Notification::Defunct
            | Notification::Rejoin(_) => {}
        }
    }

    fn send_to(&mut self, to: Peer, data: &[u8]) {
        self.effects.sends.push((index(to.node), Message::Swim(data.to_vec())));
    }

    fn submit_after(&mut self, timer: Timer<Peer>, after: Duration) {
        *self.armed += 1;
        let at = self.now + u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.timers.insert((at, *self.armed), timer);
    }
}
