//! What went wrong, in words, with whom it befell and until when.
//!
//! # Not here
//! What a fault does: `scenario::fault`.

use super::words::{length, list};
use crate::engine::Survivors;
use crate::scenario::Fault;
use crate::world::{Network, Time};

/// A fault that happened, or several alike at one moment.
#[derive(Clone, Debug)]
pub struct Happened {
    /// When.
    pub at: Time,
    /// Until when it lasted.
    pub until: Time,
    /// Whom it befell.
    pub hosts: Vec<usize>,
    /// In a word or two.
    pub kind: &'static str,
    /// In a sentence without its stop.
    pub words: String,
    /// Whether others cease to hear whom it befell.
    pub silences: bool,
}

/// What is said of a fault.
struct Said {
    hosts: Vec<usize>,
    kind: &'static str,
    words: String,
    lasts: Option<Time>,
    silences: bool,
}

/// A fault as it happened: who held the lease then, what hosts are called, when the last was over.
pub fn happened(at: Time, fault: &Fault, holder: Option<usize>, names: &[&str], over: Time) -> Happened {
    let Said { hosts, kind, words, lasts, silences } = of_holder(fault, holder, names)
        .or_else(|| of_network(fault, names))
        .or_else(|| of_agents(fault, names))
        .or_else(|| of_cards(fault, names))
        .or_else(|| of_people(fault, names))
        .or_else(|| of_engines(fault, names))
        .unwrap_or_else(|| {
            let (node, kind, words, lasts) = of_hosts(fault, names);
            Said { hosts: node.into_iter().collect(), kind, words, lasts, silences: false }
        });
    // What is over at once is told of as a moment.
    let until = lasts.map_or(over.max(at), |lasts| at + lasts);
    Happened { at, until, hosts, kind, words, silences }
}

fn all(names: &[&str], hosts: &[usize]) -> String {
    list(&hosts.iter().map(|host| names[*host]).collect::<Vec<_>>())
}

const fn are(hosts: &[usize]) -> &'static str {
    if hosts.len() == 1 { "is" } else { "are" }
}

fn during(lasts: Option<Time>) -> String {
    lasts.map_or_else(|| " until the faults are over".to_owned(), |lasts| format!(" for {}", length(lasts)))
}

/// What a network is like.
fn like(network: &Network) -> String {
    let mut how = vec![format!("{} to {}", length(network.least), length(network.most))];
    let shares = [
        (network.loss_permille, "lost"),
        (network.twice_permille, "twice"),
        (network.again_permille, "again"),
        (network.late_permille, "late"),
    ];
    let some = shares.into_iter().filter(|(share, _)| *share > 0);
    how.extend(some.map(|(share, what)| format!("{} % {what}", f64::from(share) / 10.0)));
    how.join(", ")
}

/// Those that befall whoever holds the lease.
fn of_holder(fault: &Fault, holder: Option<usize>, names: &[&str]) -> Option<Said> {
    let led = holder.map_or("nobody, for nobody led", |holder| names[holder]);
    Some(match fault {
        Fault::IsolateLeader { lasts } | Fault::Usurp { lasts } => Said {
            hosts: holder.into_iter().collect(),
            kind: "leader cut off",
            words: format!(
                "the leader is cut off for {}{}: {led}",
                length(*lasts),
                if matches!(fault, Fault::Usurp { .. }) { " as the voters change" } else { "" }
            ),
            lasts: Some(*lasts),
            silences: true,
        },
        Fault::Coup { lasts, after, down } => Said {
            hosts: holder.into_iter().collect(),
            kind: "coup",
            words: format!(
                "the leader is cut off for {}: {led}; {} later all others restart within {}",
                length(*lasts),
                length(*after),
                length(*down)
            ),
            lasts: Some(*lasts),
            silences: true,
        },
        Fault::Ambush { slow, after, lasts, witness } => Said {
            hosts: holder.into_iter().collect(),
            kind: "ambush",
            words: format!(
                "what comes to the leader takes {}: {led}; {} later it is cut off for {}{}",
                length(*slow),
                length(*after),
                length(*lasts),
                if *witness { ", but for one that sees both sides" } else { "" }
            ),
            lasts: Some(*after + *lasts),
            silences: true,
        },
        _ => return None,
    })
}

fn of_network(fault: &Fault, names: &[&str]) -> Option<Said> {
    Some(match fault {
        Fault::Cut { nodes, one_way, bridge, lasts } => {
            let how = if *one_way { "not heard any more, but hear" } else { "cut off" };
            let seen = if bridge.is_empty() {
                String::new()
            } else {
                format!(
                    " ({} {} both sides)",
                    all(names, bridge),
                    if bridge.len() == 1 { "sees" } else { "see" }
                )
            };
            let words = format!("{} {} {how}{}{seen}", all(names, nodes), are(nodes), during(*lasts));
            let kind = if *one_way { "one-way cut" } else { "cut" };
            Said { hosts: nodes.clone(), kind, words, lasts: *lasts, silences: true }
        }
        Fault::Weather { nodes, towards, network, lasts } => {
            let towards = match towards.as_slice() {
                [] => String::new(),
                some => format!(" towards {}", all(names, some)),
            };
            let (whose, how) = (all(names, nodes), like(network));
            let words = format!("the network of {whose}{towards} is bad{}: {how}", during(*lasts));
            Said { hosts: nodes.clone(), kind: "bad network", words, lasts: *lasts, silences: false }
        }
        Fault::Clog { nodes, lasts } => Said {
            hosts: nodes.clone(),
            kind: "clog",
            words: format!(
                "what {} send and are sent is held back for {}",
                all(names, nodes),
                length(*lasts)
            ),
            lasts: Some(*lasts),
            silences: false,
        },
        Fault::Reset { node } => Said {
            hosts: vec![*node],
            kind: "reset",
            words: format!("every connection of {} breaks", names[*node]),
            lasts: Some(0),
            silences: false,
        },
        Fault::AddressesChange { node } => Said {
            hosts: vec![*node],
            kind: "moves",
            words: format!("{} is given another address", names[*node]),
            lasts: Some(0),
            silences: true,
        },
        Fault::AddressesSwapped { node, with } => Said {
            hosts: vec![*node, *with],
            kind: "swap",
            words: format!("{} and {} are given each other's addresses", names[*node], names[*with]),
            lasts: Some(0),
            silences: true,
        },
        _ => return None,
    })
}

fn of_agents(fault: &Fault, names: &[&str]) -> Option<Said> {
    let back = |lasts: &Option<Time>| match lasts {
        Some(lasts) => format!(", and is back after {}", length(*lasts)),
        None => String::new(),
    };
    let (hosts, kind, words, lasts) = match fault {
        Fault::Kill { node, lasts } => {
            (vec![*node], "kill", format!("the agent of {} dies{}", names[*node], back(lasts)), *lasts)
        }
        Fault::Stop { node, lasts } => {
            (vec![*node], "stop", format!("the agent of {} is stopped{}", names[*node], back(lasts)), *lasts)
        }
        Fault::Upgrade { node, lasts } => {
            let words = format!("the agent of {} is stopped for an upgrade", names[*node]);
            (vec![*node], "upgrade", words, Some(*lasts))
        }
        Fault::Rollback { node, lasts } => {
            let words = format!("{} goes back to the earlier release", names[*node]);
            (vec![*node], "rollback", words, Some(*lasts))
        }
        Fault::KillAll { lasts, apart } => {
            let last = *lasts + *apart * names.len().saturating_sub(1) as u64;
            let words = format!("all agents die; the last is back after {}", length(last));
            ((0..names.len()).collect(), "all die", words, Some(last))
        }
        Fault::PowerOff { node, lasts } => {
            (vec![*node], "power off", format!("{} loses its power{}", names[*node], back(lasts)), *lasts)
        }
        Fault::Pause { node, lasts } => {
            (vec![*node], "pause", format!("{} sleeps for {}", names[*node], length(*lasts)), Some(*lasts))
        }
        _ => return None,
    };
    Some(Said { hosts, kind, words, lasts, silences: true })
}

/// Those that befall what a node is.
fn of_cards(fault: &Fault, names: &[&str]) -> Option<Said> {
    let (node, kind, words, lasts) = match fault {
        Fault::OldDisk { node, age, lasts, .. } => {
            let (name, age, lasts_words) = (names[*node], length(*age), length(*lasts));
            let words =
                format!("{name} goes down, and is back after {lasts_words} with its disk of {age} before");
            (*node, "old disk", words, *lasts)
        }
        Fault::EmptyDisk { node, lasts, .. } => {
            let (name, lasts_words) = (names[*node], length(*lasts));
            let words = format!(
                "{name} loses its disk, is back after {lasts_words} as a new node, and is joined anew"
            );
            (*node, "empty disk", words, *lasts)
        }
        _ => return None,
    };
    Some(Said { hosts: vec![node], kind, words, lasts: Some(lasts), silences: true })
}

/// What people do to the cluster itself.
fn of_people(fault: &Fault, names: &[&str]) -> Option<Said> {
    let (node, kind, words) = match fault {
        Fault::Role { node, by, worker } => {
            let done = if *worker { "demoted" } else { "promoted" };
            (*node, "role", format!("{} is {done} at {}", names[*node], names[*by]))
        }
        Fault::Scale { service, replicas, by } => {
            (*by, "scale", format!("{service} is scaled to {replicas} at {}", names[*by]))
        }
        Fault::Recover { node, .. } => {
            (*node, "recover", format!("{} is told to recover the cluster", names[*node]))
        }
        _ => return None,
    };
    Some(Said { hosts: vec![node], kind, words, lasts: Some(0), silences: false })
}

fn of_engines(fault: &Fault, names: &[&str]) -> Option<Said> {
    let (node, kind, words, lasts) = match fault {
        Fault::EngineHangs { node, lasts } => {
            let words = format!("the engine of {} hangs for {}", names[*node], length(*lasts));
            (*node, "engine hangs", words, *lasts)
        }
        Fault::EngineRestarts { node, lasts, survivors } => {
            let left = match survivors {
                Survivors::Running => "its containers go on",
                Survivors::Ended => "its containers end",
                Survivors::None => "its containers are gone",
            };
            let words = format!("the engine of {} restarts for {}: {left}", names[*node], length(*lasts));
            (*node, "engine restarts", words, *lasts)
        }
        Fault::StartInterrupted { node, lasts } => {
            let words =
                format!("the engine of {} restarts for {} as it starts a task", names[*node], length(*lasts));
            (*node, "engine restarts", words, *lasts)
        }
        Fault::ByHand { node, removed } => {
            let what = if *removed { "removes" } else { "kills" };
            (*node, "by hand", format!("somebody {what} a container on {}", names[*node]), 0)
        }
        _ => return None,
    };
    Some(Said { hosts: vec![node], kind, words, lasts: Some(lasts), silences: false })
}

fn of_hosts(fault: &Fault, names: &[&str]) -> (Option<usize>, &'static str, String, Option<Time>) {
    match fault {
        Fault::Slow { node, each, lasts } => {
            let words = format!("{} takes {} over each thing{}", names[*node], length(*each), during(*lasts));
            (Some(*node), "slow", words, *lasts)
        }
        Fault::WallStep { node, by } => {
            let way = if *by < 0 { "back" } else { "on" };
            let by = length(by.unsigned_abs());
            let words = format!("the wall clock of {} is put {way} by {by}", names[*node]);
            (Some(*node), "clock set", words, Some(0))
        }
        Fault::DiskStalls { node, lasts } => {
            let words = format!("the disk of {} stalls for {}", names[*node], length(*lasts));
            (Some(*node), "disk stalls", words, Some(*lasts))
        }
        Fault::DiskFails { node, lasts, .. } => {
            let words = format!("the next write of {} fails", names[*node]);
            (Some(*node), "disk fails", words, Some(*lasts))
        }
        Fault::DiskFull { node, lasts } => {
            let words = format!("the disk of {} is full{}", names[*node], during(*lasts));
            (Some(*node), "disk full", words, *lasts)
        }
        Fault::Lies { node, lies, lasts } => {
            let how: Vec<&str> = lies.iter().map(|lie| lie.words()).collect();
            let words = format!("{} lies{}: {}", names[*node], during(*lasts), list(&how));
            (Some(*node), "lies", words, *lasts)
        }
        Fault::Cut { .. }
        | Fault::Role { .. }
        | Fault::Scale { .. }
        | Fault::Recover { .. }
        | Fault::IsolateLeader { .. }
        | Fault::Usurp { .. }
        | Fault::Coup { .. }
        | Fault::Ambush { .. }
        | Fault::Weather { .. }
        | Fault::Clog { .. }
        | Fault::Reset { .. }
        | Fault::AddressesChange { .. }
        | Fault::AddressesSwapped { .. }
        | Fault::Kill { .. }
        | Fault::Stop { .. }
        | Fault::Upgrade { .. }
        | Fault::Rollback { .. }
        | Fault::KillAll { .. }
        | Fault::PowerOff { .. }
        | Fault::Pause { .. }
        | Fault::OldDisk { .. }
        | Fault::EngineHangs { .. }
        | Fault::EngineRestarts { .. }
        | Fault::StartInterrupted { .. }
        | Fault::ByHand { .. }
        | Fault::EmptyDisk { .. } => unreachable!("told of already"),
    }
}
