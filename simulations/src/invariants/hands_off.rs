//! No engine call touches what does not bear this cluster's and this node's label.
//!
//! One exception, by design: containers of this cluster whose node was removed, found on this node's engine.

use std::collections::BTreeMap;

use super::{Law, Verdict};
use crate::world::World;

/// How many touches of each host were judged.
#[derive(Default)]
pub struct HandsOff {
    judged: BTreeMap<usize, usize>,
}

impl Law for HandsOff {
    fn name(&self) -> &'static str {
        "hands_off"
    }

    fn after(&mut self, world: &World, host: usize) -> Verdict {
        let known = &world.hosts[host];
        let touches = known.engine.touches();
        let judged = self.judged.entry(host).or_default();
        for touch in &touches[*judged..] {
            let members = known.node.as_ref().map(|node| node.nodes(known.now(world.now)));
            let removed = touch.node.is_some_and(|node| match &members {
                Some(members) => members.iter().all(|member| member.id != node),
                // Its engine does what its agent asked for before it died.
                None => known.disk.removals(node).next().is_some(),
            });
            if !removed {
                return Err(format!("{} of {:?} was touched", touch.container, touch.node));
            }
        }
        *judged = touches.len();
        Ok(())
    }
}
