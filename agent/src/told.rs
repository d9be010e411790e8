//! What the core tells people, into logs, alarms and counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::counter;
use sleep_core::io::{Alarm, Event};
use sleep_wire::{NodeId, WallTime};
use tracing::{debug, error, info, warn};

/// How many alarms are shown.
const KEPT: usize = 16;

/// Alarms that stand, newest last; shared with whoever shows them.
#[derive(Clone, Default)]
pub(crate) struct Alarms(Arc<Mutex<VecDeque<String>>>);

impl Alarms {
    /// Every alarm that stands.
    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn raise(&self, text: String) {
        error!("{text}");
        let mut alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !alarms.contains(&text) {
            alarms.push_back(text);
            if alarms.len() > KEPT {
                alarms.pop_front();
            }
        }
    }
}

/// How many sightings are remembered.
const REMEMBERED: usize = 512;

/// What this agent saw of others' lives, oldest first; shared with whoever tells why. It begins with the
/// agent.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<VecDeque<Sighting>>>);

/// One thing that was seen of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// By this host's wall clock, for people.
    pub at: WallTime,
    /// Of whom.
    pub node: NodeId,
    /// What.
    pub what: Seen,
}

/// What was seen of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It answers.
    Up,
    /// It did not answer this one.
    Suspect(NodeId),
    /// It is believed dead; of how many asked so many found it so, if others were asked.
    Down(u8, u8),
    /// It writes in this protocol, which is not spoken here.
    Unspoken(u8),
    /// It answers again, and is believed only if it stays for so many milliseconds.
    Doubted(u32),
    /// It founded this generation, or was the first that was heard to lead it.
    Recovered(u16),
    /// It is no longer a member.
    Gone,
}

impl Journal {
    /// What was seen of a node, oldest first.
    pub(crate) fn of(&self, node: NodeId) -> Vec<Sighting> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|sighting| sighting.node == node).cloned().collect()
    }

    /// Takes note of what an event says of a node's life.
    pub(crate) fn note(&self, event: &Event, at: WallTime) {
        let (node, what) = match event {
            Event::NodeUp { node } => (*node, Seen::Up),
            Event::NodeSuspect { node, by } => (*node, Seen::Suspect(*by)),
            Event::NodeDown { node, confirmed: (failed, asked) } => (*node, Seen::Down(*failed, *asked)),
            Event::NodeDoubted { node, hold_ms } => (*node, Seen::Doubted(*hold_ms)),
            Event::NodeGone { node } => (*node, Seen::Gone),
            Event::Recovered { generation, by } => (*by, Seen::Recovered(*generation)),
            Event::UnspokenProtocol { from, protocol } => (*from, Seen::Unspoken(*protocol)),
            Event::LeaseAcquired { .. }
            | Event::LeaseLost { .. }
            | Event::HolderChanged { .. }
            | Event::Task { .. }
            | Event::RecordRefused { .. }
            | Event::BadFrame { .. }
            | Event::Alarm(_) => return,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(Sighting { at, node, what });
        if all.len() > REMEMBERED {
            all.pop_front();
        }
    }
}

/// Takes note of an event.
pub(crate) fn tell(event: &Event, alarms: &Alarms) {
    match event {
        Event::NodeUp { node } => info!(%node, "answers"),
        Event::NodeSuspect { node, by } => info!(%node, %by, "did not answer lately"),
        Event::NodeDown { node, confirmed: (0, 0) } => warn!(%node, "is believed dead"),
        Event::NodeDown { node, confirmed: (failed, asked) } => {
            warn!(%node, failed, asked, "is down, as others found too: its work may move");
        }
        Event::NodeDoubted { node, hold_ms } => {
            let seconds = hold_ms / 1000;
            info!(%node, seconds, "answers again; as it came and went, it has to stay so long");
        }
        Event::NodeGone { node } => info!(%node, "is no longer a member"),
        Event::LeaseAcquired { epoch } => info!(term = epoch.term, "this node leads"),
        Event::LeaseLost { epoch, why } => info!(term = epoch.term, why, "this node no longer leads"),
        Event::HolderChanged { epoch } => info!(term = epoch.term, leader = %epoch.candidate, "a new leader"),
        Event::Recovered { generation, by } => {
            warn!(generation, leader = %by, "the cluster was recovered: a generation was founded");
        }
        Event::Task { service, assignment: _, state, message } => {
            counter!("sleepd_task_transitions_total", "state" => *state).increment(1);
            if message.is_empty() {
                info!(%service, state, "task");
            } else {
                info!(%service, state, message = %message.escape_debug(), "task");
            }
        }
        Event::RecordRefused { from, author, why } => {
            counter!("sleepd_records_refused_total").increment(1);
            debug!(%from, %author, why, "a record was refused");
        }
        Event::BadFrame { from } => {
            counter!("sleepd_bad_frames_total").increment(1);
            debug!(%from, "a frame that means nothing");
        }
        Event::UnspokenProtocol { from, protocol } => {
            warn!(%from, protocol, "writes in a protocol unknown here: if it is not heard, upgrade");
        }
        Event::Alarm(alarm) => alarms.raise(words(alarm)),
    }
}

fn words(alarm: &Alarm) -> String {
    match alarm {
        Alarm::StampAhead { author, by_ms } => {
            format!("node {author} wrote a stamp {} hours ahead of cluster time", by_ms / 3_600_000)
        }
        Alarm::Clone { node } => format!("two agents run with the key of node {node}"),
        Alarm::Storage(message) => format!("the agent's store failed: {message}"),
        Alarm::OldDisk { here, known } => {
            format!("this node's disk is old: its boot counter is {here}, and others know {known}")
        }
        Alarm::Internal(message) => format!("an assumption did not hold: {message}"),
    }
}
