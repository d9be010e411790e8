//! A new holder plans on what everybody knows who answers, and what it plans by stands under its epoch.
//!
//! When a lease begins it is noted which slot records each node has on its disk. The first plan of that
//! lease, if it is written within the roll call's two seconds, must not be older than what a node has that
//! the holder sees. Ten seconds later no slot that the holder has is under an earlier epoch: fenced nodes
//! would not act on it. A record that the holder got a moment ago may still be. What a leader wrote that was
//! removed since is void, and nobody plans by it.

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::key::SlotKey;
use sleep_wire::{Epoch, Key, NodeId, Record, ServiceId, Stamp, decode};

use super::plans_under_its_lease::slot_stamp;
use super::{Law, Verdict};
use crate::world::{Observation, SECOND, Seen, Time, World};

/// How long a roll is called, less what a clock may be off: then it plans without those who have not
/// answered.
const ROLL_CALL: Time = 1_950_000;
/// When everything is under the new epoch.
const SETTLED: Time = 10 * SECOND;

/// The leases that are held.
#[derive(Default)]
pub struct OnWhatIsKnown {
    tenures: BTreeMap<usize, Tenure>,
}

struct Tenure {
    epoch: Epoch,
    began: Time,
    /// What each node had when it began, until the first plan is written.
    known: BTreeMap<NodeId, Slots>,
    look_at: Time,
    /// Slots that were under an earlier epoch when last looked at.
    earlier: Slots,
}

type Slots = BTreeMap<SlotKey, Stamp>;

impl Law for OnWhatIsKnown {
    fn name(&self) -> &'static str {
        "plans_on_what_is_known"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        if let Seen::OtherDisk { .. } = seen.what {
            for tenure in self.tenures.values_mut() {
                tenure.known.retain(|node, _| world.host_of(*node) != Some(seen.host));
            }
        }
        let Seen::Persist(writes) = &seen.what else { return Ok(()) };
        let host = &world.hosts[seen.host];
        let Some(node) = &host.node else { return Ok(()) };
        let Some(tenure) = self.tenures.get_mut(&seen.host) else { return Ok(()) };
        let is_its_own = |stamp| matches!(stamp, Stamp::Lease { epoch, .. } if epoch == tenure.epoch);
        if tenure.known.is_empty() || !writes.entries().filter_map(slot_stamp).any(is_its_own) {
            return Ok(());
        }
        let known = std::mem::take(&mut tenure.known);
        if seen.at >= tenure.began + ROLL_CALL {
            return Ok(());
        }
        let mine = slots_in(node.records());
        let live = node.live();
        let members: BTreeSet<NodeId> = node.lives().into_iter().map(|(member, _)| member).collect();
        let is_void = |stamp: &Stamp| {
            let Stamp::Lease { epoch, .. } = stamp else { return false };
            !members.contains(&epoch.candidate)
        };
        for (other, slots) in known.iter().filter(|(other, _)| live.contains(other)) {
            let older = |(slot, stamp): &(&SlotKey, &Stamp)| {
                !is_void(stamp) && mine.get(slot).is_none_or(|mine| mine < *stamp)
            };
            if let Some((slot, stamp)) = slots.iter().find(older) {
                let mine = mine.get(slot);
                return Err(format!("it plans with {slot:?} at {mine:?}, and {other:?} has {stamp:?}"));
            }
        }
        Ok(())
    }

    fn after(&mut self, world: &World, number: usize) -> Verdict {
        let host = &world.hosts[number];
        let held = host.node.as_ref().and_then(|node| node.holding(host.now(world.now)));
        let Some(epoch) = held else {
            self.tenures.remove(&number);
            return Ok(());
        };
        if self.tenures.get(&number).is_none_or(|tenure| tenure.epoch != epoch) {
            let others = world.hosts.iter().enumerate().filter(|(other, _)| *other != number);
            let known = others.filter(|(_, host)| host.node.is_some());
            let known =
                known.map(|(_, host)| (host.id, slots_in(host.disk.records().map(|(_, bytes)| bytes))));
            let tenure = Tenure {
                epoch,
                began: world.now,
                known: known.filter(|(_, slots)| !slots.is_empty()).collect(),
                look_at: world.now + SETTLED,
                earlier: Slots::new(),
            };
            self.tenures.insert(number, tenure);
        }
        Ok(())
    }

    fn look(&mut self, world: &World) -> Verdict {
        for (number, tenure) in &mut self.tenures {
            let host = &world.hosts[*number];
            let Some(node) = host.node.as_ref().filter(|_| world.now >= tenure.look_at) else { continue };
            tenure.look_at = world.now + SETTLED;
            let shown: BTreeSet<ServiceId> = node.standing().collect();
            let is_earlier = |(slot, stamp): &(SlotKey, Stamp)| {
                shown.contains(&slot.service)
                    && !matches!(stamp, Stamp::Lease { epoch, .. } if *epoch >= tenure.epoch)
            };
            let earlier: Slots = slots_in(node.records()).into_iter().filter(is_earlier).collect();
            let stays = earlier.iter().find(|(slot, stamp)| tenure.earlier.get(*slot) == Some(*stamp));
            if let Some((slot, stamp)) = stays {
                let name = host.name();
                return Err(format!("{name} leads {:?} and leaves {slot:?} at {stamp:?}", tenure.epoch));
            }
            tenure.earlier = earlier;
        }
        Ok(())
    }
}

fn slots_in<'a>(records: impl Iterator<Item = &'a [u8]>) -> Slots {
    let slot = |bytes: &[u8]| {
        let record = decode::<Record>(bytes).ok()?;
        match Key::from_bytes(&record.key) {
            Ok(Some(Key::Slot(slot))) => Some((slot, record.stamp)),
            Ok(_) | Err(_) => None,
        }
    };
    records.filter_map(slot).collect()
}
