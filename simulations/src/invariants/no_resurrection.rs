//! What was deleted is never shown again.
//!
//! Judged once a second: a service that a node has shown and shows no more is removed there; as long as that
//! agent lives it is not shown there again; unless whoever removed it had been demoted, and its removal is
//! void.

use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::key::DesiredKey;
use sleep_wire::{Key, ServiceId};

use super::{Law, Verdict};
use crate::host::Host;
use crate::world::{SECOND, Time, World};

/// What each agent shows, and what it showed once.
#[derive(Default)]
pub struct NoResurrection {
    agents: BTreeMap<(usize, u64), Shown>,
    look_at: Time,
}

#[derive(Default)]
struct Shown {
    now: BTreeSet<ServiceId>,
    gone: BTreeSet<ServiceId>,
}

impl Law for NoResurrection {
    fn name(&self) -> &'static str {
        "no_resurrection"
    }

    fn look(&mut self, world: &World) -> Verdict {
        if world.now < self.look_at {
            return Ok(());
        }
        self.look_at = world.now + 5 * SECOND;
        let lives: BTreeSet<_> = world.hosts.iter().enumerate().map(|(at, host)| (at, host.life)).collect();
        self.agents.retain(|agent, _| lives.contains(agent));
        for (number, host) in world.hosts.iter().enumerate() {
            let Some(node) = host.node.as_ref().filter(|node| node.cluster().is_some()) else { continue };
            let shown = node.standing().collect();
            let agent = self.agents.entry((number, host.life)).or_default();
            agent.gone.extend(agent.now.difference(&shown).copied());
            if !world.given_roles.is_empty() {
                agent.gone.retain(|service| is_removed(host, *service));
            }
            if let Some(service) = agent.gone.intersection(&shown).next() {
                return Err(format!("{} shows {service} again, which it had removed", host.name()));
            }
            agent.now = shown;
        }
        Ok(())
    }
}

/// Whether a host's disk holds that a service was removed, or will.
fn is_removed(host: &Host, service: ServiceId) -> bool {
    host.disk.latest(&Key::Desired(DesiredKey::ServiceRemoval { service }).to_bytes()).is_some()
}
