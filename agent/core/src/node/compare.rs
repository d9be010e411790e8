//! What those ask who compare nodes with each other: the laws, and tests.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::spec::Mode;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::{NodeId, ServiceId};

use super::Node;
use super::task_views::Placed;
use crate::crypto::Crypto;
use crate::state;
use crate::time::Now;
use crate::view::{Life, PlacedRow, WantedRow};

impl<C: Crypto> Node<C> {
    /// Cluster time as it is here, if this node is in a cluster.
    pub fn time(&self, now: Now) -> Option<ClusterTime> {
        self.member().map(|member| member.clock.present(now.instant))
    }

    /// What is believed of every member, by id.
    pub fn lives(&self) -> Vec<(NodeId, Life)> {
        let Some(member) = self.member() else { return Vec::new() };
        member.trust.members().map(|id| (id, member.life(id))).collect()
    }

    /// Which services stand and how many tasks each is to have, as [`Node::services`] tells, by id: for those
    /// who compare nodes. The planner is asked where it has a say.
    pub fn wanted(&self, now: Now) -> Vec<WantedRow> {
        let Some(member) = self.member() else { return Vec::new() };
        let services = member.state.services();
        let is_global = |service: &state::Service<'_>| service.birth.mode == Mode::Global;
        let planner = services.iter().any(is_global).then(|| member.planner(now.instant));
        let row = |service: state::Service<'_>| {
            let planned = planner.as_ref().filter(|_| is_global(&service));
            let planned = planned.and_then(|planner| planner.progress(&service.id, now.instant));
            WantedRow {
                id: service.id,
                revision: service.current.id,
                desired: planned.map_or(service.replicas, |progress| progress.desired),
                name: service.name.text,
            }
        };
        services.into_iter().map(row).collect()
    }

    /// Where every task is that is not over, or should run, as [`Node::tasks`] tells, by service and slot:
    /// for those who compare nodes.
    pub fn placed(&self) -> impl Iterator<Item = PlacedRow> {
        let members = self.member().into_iter();
        let services =
            members.flat_map(|member| member.known_services().into_iter().map(move |id| (member, id)));
        let rows = services.flat_map(|(member, service)| member.placed(service, false));
        rows.map(|Placed { slot, node, told, life, wanted, .. }| PlacedRow {
            slot,
            task: told.map(|task| task.status.task),
            node,
            life,
            wanted,
        })
    }

    /// The ids of the services that [`Node::services`] tells of, in order.
    pub fn standing(&self) -> impl Iterator<Item = ServiceId> {
        self.member().into_iter().flat_map(|member| member.state.standing())
    }

    /// The sum of all records: equal on two nodes iff they have the same.
    pub fn digest(&self) -> Option<sleep_wire::Digest> {
        self.member().map(|member| member.state.digest())
    }

    /// What this node plans with although something else is known by now, in words; `None` if it does not
    /// plan. For those who check that nothing is overlooked between two plans.
    pub fn overlooked(&self, now: Now) -> Option<String> {
        self.member()?.overlooked(now.instant)
    }

    /// Every record that stands here, in an order that is a function of their keys: for those who check that
    /// equal sums mean equal records. Equal ones may be one piece of memory.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<state::Entry>> {
        self.member().into_iter().flat_map(|member| member.state.shared())
    }

    /// Every record that stands here, as received: for those who check what was written.
    pub fn records(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match self.member() {
            Some(member) => Box::new(member.state.records().map(state::Entry::bytes)),
            None => Box::new(core::iter::empty()),
        }
    }
}
