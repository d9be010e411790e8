//! What would come of a command, without carrying it out.

use axum::Json;
use axum::extract::State;
use sleep_core::Now;
use sleep_core::view::{self, PlanRow, SlotRef};
use sleep_wire::SlotName;
use sleep_wire::api::*;

use super::commands::revision;
use super::extract::Body;
use super::openapi::Problems;
use super::render::{Words, availability_word, changes};
use super::{Failure, Handle, names};
use crate::agent::Core;

/// A proposal with ids for names, and what differs in words.
struct Meant {
    proposal: view::Proposal,
    changes: Vec<String>,
}

#[utoipa::path(
    post,
    path = "/v1/plan",
    tag = "services",
    summary = "Say what a command would do, and do nothing",
    request_body = Proposal,
    responses((status = 200, description = "Done", body = Plan), Problems),
)]
pub(super) async fn plan(
    State(handle): State<Handle>,
    Body(proposal): Body<Proposal>,
) -> Result<Json<Plan>, Failure> {
    let planned = handle
        .ask(move |core, now| {
            let Meant { proposal, changes } = meant(core, now, proposal)?;
            let row = core
                .propose(now, &proposal)
                .map_err(|refusal| Failure::from(super::problem::of_refusal(&refusal, core, now)))?;
            Ok::<_, Failure>(Words::new(core, now).plan(&row, changes))
        })
        .await??;
    Ok(Json(planned))
}

fn meant(core: &Core, now: Now, proposal: Proposal) -> Result<Meant, Failure> {
    match proposal {
        Proposal::Create(create) => {
            let ServiceCreate { name, mode, singleton: _, replicas, spec } = *create;
            let spec = Box::new(revision(spec));
            let changes = vec![format!("{name} is created")];
            Ok(Meant { proposal: view::Proposal::Create { name, mode, replicas, spec }, changes })
        }
        Proposal::Update { service, update } => {
            let ServiceUpdate { spec, replicas, expected: _ } = *update;
            let service = names::service(core, now, &service)?;
            let row = core.services(now).into_iter().find(|row| row.id == service);
            let spec = Box::new(revision(spec));
            let mut differs = row.as_ref().map(|row| changes(&row.spec, &spec)).unwrap_or_default();
            if let (Some(row), Some(replicas)) = (&row, replicas) {
                differs.extend(scaled(row.desired, replicas));
            }
            let name = names::of_service(core, now, service);
            let changes = differs.into_iter().map(|change| format!("{name}: {change}")).collect();
            Ok(Meant { proposal: view::Proposal::Update { service, spec, replicas }, changes })
        }
        Proposal::Scale(SetScale { services }) => {
            let rows = core.services(now);
            let (mut scales, mut changes) = (Vec::new(), Vec::new());
            for (name, replicas) in services {
                let id = names::service(core, now, &name)?;
                scales.push((id, replicas));
                let row = rows.iter().find(|row| row.id == id);
                let change = row.and_then(|row| Some((&row.name, scaled(row.desired, replicas)?)));
                changes.extend(change.map(|(name, change)| format!("{name}: {change}")));
            }
            Ok(Meant { proposal: view::Proposal::Scale(scales), changes })
        }
        Proposal::Availability { nodes: typed, availability } => {
            let rows = core.nodes(now);
            let (mut nodes, mut changes) = (Vec::new(), Vec::new());
            for name in typed {
                let id = names::node(core, now, &name)?;
                nodes.push(id);
                let row = rows.iter().find(|row| row.id == id && row.availability != availability);
                changes.extend(row.map(|row| {
                    let (old, new) = (availability_word(row.availability), availability_word(availability));
                    format!("{}: {old} → {new}", row.name)
                }));
            }
            Ok(Meant { proposal: view::Proposal::Availability { nodes, availability }, changes })
        }
    }
}

fn scaled(before: u32, after: u32) -> Option<String> {
    (before != after).then(|| format!("{before} → {after} replicas"))
}

impl Words<'_> {
    fn plan(&self, row: &PlanRow, changes: Vec<String>) -> Plan {
        let status = self.core.status(self.now);
        let moves = row.moves.iter().map(|moved| PlannedMove {
            name: self.slot_name(&moved.slot),
            from: moved.from.map(|node| self.name(node)).unwrap_or_default(),
            to: moved.to.map(|node| self.name(node)).unwrap_or_default(),
            why: match &moved.choice {
                Some((cause, choice)) => self.choice(&moved.slot.service_name, cause, choice),
                None => "it is no longer wanted".to_owned(),
            },
        });
        let pending = row.pending.iter().map(|(slot, refusals)| PlannedPending {
            name: self.slot_name(slot),
            refusals: self.refusals(refusals),
        });
        Plan {
            changes,
            moves: moves.collect(),
            pending: pending.collect(),
            complete: row.complete,
            nodes: status.nodes,
            seen: status.seen,
            seen_from: self.name(status.node),
        }
    }

    fn slot_name(&self, slot: &SlotRef) -> String {
        match slot.slot {
            SlotName::Node(node) => format!("{}.{}", slot.service_name, self.name(node)),
            SlotName::Number(_) | SlotName::Run { .. } => format!("{}.{}", slot.service_name, slot.slot),
        }
    }
}
