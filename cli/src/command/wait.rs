//! Waiting until the cluster is as was asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use sleep_wire::api::{Code, NodeProgress, Progress, RevisionView, ServiceProgress, SlotProgress};
use sleep_wire::node::Availability;
use tokio::time::{sleep, timeout};

use super::Context;
use super::crashes::Crashes;
use crate::client::{self, Client, Lines, path};
use crate::error::Error;
use crate::output::progress::{self, Live};
use crate::output::time;

/// How long nothing may have a place before it is said to have none: a plan in the making is no refusal.
const STUCK_FOR: Duration = Duration::from_millis(500);

/// Between two tries to reach an agent that went away.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What is waited for.
#[derive(Default)]
pub(super) struct Goal {
    /// Services.
    pub(super) services: Vec<ServiceGoal>,
    /// Nodes.
    pub(super) nodes: Vec<NodeGoal>,
    /// What to type to go on watching.
    pub(super) watch: String,
}

/// A service to wait for.
#[derive(Default)]
pub(super) struct ServiceGoal {
    /// Its id: a name may be given anew.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// What it shall be.
    pub(super) want: Want,
    /// Whether it is new: then all that failed did so while it was waited for.
    pub(super) is_new: bool,
    /// Which revision an agent must have heard of to say what became of it; none if any will do.
    pub(super) revision: Option<String>,
}

/// What a service shall be.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Want {
    /// As its records say.
    #[default]
    Settled,
    /// That, with so many replicas.
    Replicas(u32),
    /// Gone, with all its tasks.
    Gone,
    /// As settled as it was: it is not what was changed.
    Spared,
}

/// A node to wait for.
pub(super) struct NodeGoal {
    /// Its id.
    pub(super) id: String,
    /// What it shall be.
    pub(super) availability: Availability,
}

impl ServiceGoal {
    /// Whether its failures are failures of what is waited for.
    fn is_watched_closely(&self) -> bool {
        match self.want {
            Want::Settled | Want::Replicas(_) => true,
            Want::Gone | Want::Spared => false,
        }
    }
}

impl Goal {
    fn path(&self) -> String {
        let services = client::list(self.services.iter().map(|service| service.id.as_str()));
        let nodes = client::list(self.nodes.iter().map(|node| node.id.as_str()));
        format!("{}?services={services}&nodes={nodes}", path(&["watch"]))
    }

    /// What to type to go on watching, where this is how far it is, if that is known.
    pub(super) fn watch(&self, progress: Option<&Progress>) -> String {
        progress.and_then(progress::watch_of_leaving).unwrap_or_else(|| self.watch.clone())
    }

    /// Whether what an agent sees is what it was asked for; an agent that has not heard of it yet sees
    /// something else.
    fn is_known(&self, progress: &Progress) -> bool {
        let services = self.services.iter().all(|goal| match (service(progress, goal), goal.want) {
            (None, Want::Gone | Want::Spared) => true,
            (None, Want::Settled | Want::Replicas(_)) => false,
            (Some(found), Want::Gone) => found.removed,
            (Some(found), Want::Replicas(replicas)) => found.desired == replicas,
            (Some(_), Want::Settled | Want::Spared) => true,
        });
        let nodes = self
            .nodes
            .iter()
            .all(|goal| node(progress, goal).is_none_or(|found| found.availability == goal.availability));
        services && nodes
    }

    fn is_met(&self, progress: &Progress) -> bool {
        self.is_known(progress)
            && self.services.iter().all(|goal| service(progress, goal).is_none_or(|found| found.converged))
            && self.nodes.iter().all(|goal| node(progress, goal).is_none_or(|found| found.converged))
    }
}

fn service<'a>(progress: &'a Progress, goal: &ServiceGoal) -> Option<&'a ServiceProgress> {
    progress.services.iter().find(|service| service.id == goal.id)
}

fn node<'a>(progress: &'a Progress, goal: &NodeGoal) -> Option<&'a NodeProgress> {
    progress.nodes.iter().find(|node| node.id == goal.id)
}

/// Waits, showing how far the work is.
///
/// # Errors
/// [`Error::TimedOut`], [`Error::Stuck`], [`Error::Interrupted`], or [`Error::Failed`] if a service crashes
/// in a loop, its update stands still, or somebody removes it or scales it anew.
pub(super) async fn until(context: &Context<'_>, goal: &Goal) -> Result<Progress, Error> {
    let last =
        RefCell::new(Progress { services: Vec::new(), nodes: Vec::new(), converged: false, stuck: false });
    let after = context.global.timeout;
    let done = tokio::select! {
        done = follow(&context.client, Live::new(context.output), goal, &last) => done,
        () = sleep(after) => {
            let (progress, watch) = (Box::new(last.borrow().clone()), goal.watch.clone());
            Err(Error::TimedOut { after, progress, watch })
        }
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted { watch: goal.watch(Some(&last.borrow())) }),
    };
    let progress = done?;
    for service in progress.services.iter().filter(|service| !service.waiting_for_down.is_empty()) {
        let (what, name) = (if service.removed { "the last tasks" } else { "old tasks" }, &service.name);
        let (nodes, verb) = match service.waiting_for_down.as_slice() {
            [one] => (one.clone(), "is down: when it is back, it stops"),
            several => (several.join(", "), "are down: when they are back, they stop"),
        };
        context.output.note(&format!("{nodes} {verb} {what} of {name}"));
    }
    given_up(goal, &progress)?;
    Ok(progress)
}

/// What its restart policy has given up is as it should be, and not what was wanted.
fn given_up(goal: &Goal, progress: &Progress) -> Result<(), Error> {
    let watched = goal.services.iter().filter(|goal| goal.is_watched_closely());
    let slots = watched.filter_map(|goal| service(progress, goal)).flat_map(|service| &service.slots);
    let failed: Vec<&SlotProgress> = slots.filter(|slot| slot.state == "failed").collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let others = if failed.len() > 1 { format!(" and {} more", failed.len() - 1) } else { String::new() };
    Err(Error::Failed {
        what: format!("{}{others} failed, and the restart policy tries no more", first.name),
        lines: vec![first.message.clone()].into_iter().filter(|line| !line.is_empty()).collect(),
        hint: format!("sleepctl why {}", first.name),
    })
}

/// What the agent sees now.
///
/// # Errors
/// [`Error`] if it cannot be asked.
pub(super) async fn glance(client: &Client, goal: &Goal) -> Result<Progress, Error> {
    let mut events = client.lines(&goal.path()).await?;
    events.event().await?.ok_or_else(|| Error::cut(&"it said nothing"))
}

async fn follow(
    client: &Client,
    mut live: Live<'_>,
    goal: &Goal,
    last: &RefCell<Progress>,
) -> Result<Progress, Error> {
    let (mut crashes, mut away, mut heard) = (Crashes::default(), false, String::new());
    let mut witness = Witness { accepted: true, ..Witness::default() };
    loop {
        let lost = match client.resume(&goal.path(), &heard).await {
            Ok(events) => {
                if std::mem::take(&mut away) {
                    live.say("an agent is there again");
                }
                let watched = Watched { goal, last, crashes: &mut crashes, witness: &mut witness };
                match watch(client, events, &mut live, watched, &mut heard).await {
                    Ok(progress) => return Ok(progress),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if !lost.is_passing() {
            return Err(lost);
        }
        if !away {
            live.say("the agent went away; waiting for it, the work goes on");
            away = true;
        }
        loop {
            client.pause(AGAIN_AFTER).await;
            match client.reconnect().await {
                Ok(()) => break,
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(error),
            }
        }
        // What one agent had heard of another may not have.
        witness = Witness::default();
    }
}

fn replicas_of(count: u32) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}

/// What the agent that is asked must have heard of.
#[derive(Default)]
struct Witness {
    /// Whether it is the one that accepted the change: it shows that, or what came after it.
    accepted: bool,
    /// Ids of services that it showed as they were asked for.
    seen: BTreeSet<String>,
    /// Ids of services whose revision it has heard of.
    heard_of: BTreeSet<String>,
}

impl Witness {
    /// Whether all that it shows is what came of the revisions that are waited for.
    fn knows(&self, goal: &Goal) -> bool {
        let is_known = |goal: &ServiceGoal| goal.revision.is_none() || self.heard_of.contains(&goal.id);
        self.accepted || goal.services.iter().all(is_known)
    }

    /// Asks it which revisions it has heard of; whether these are all by now.
    async fn ask(&mut self, client: &Client, goal: &Goal) -> Result<bool, Error> {
        for goal in &goal.services {
            let Some(revision) = goal.revision.as_ref().filter(|_| !self.heard_of.contains(&goal.id)) else {
                continue;
            };
            let history = client.ask::<Vec<RevisionView>>(&path(&["services", &goal.id, "history"])).await;
            match history {
                Ok(known)
                    if known.iter().any(|one| one.id == *revision || one.parents.contains(revision)) =>
                {
                    self.heard_of.insert(goal.id.clone());
                }
                Ok(_) => {}
                Err(Error::Refused(problem)) if problem.code == Code::NoSuchService => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.knows(goal))
    }

    /// Fails if a service is to be something else by now than what was asked for.
    fn look(&mut self, goal: &ServiceGoal, found: &ServiceProgress) -> Result<(), Error> {
        let Want::Replicas(replicas) = goal.want else { return Ok(()) };
        if found.desired == replicas {
            self.seen.insert(goal.id.clone());
            return Ok(());
        }
        // Another agent may not have heard of it yet.
        if !self.accepted && !self.seen.contains(&goal.id) {
            return Ok(());
        }
        let (name, now) = (&goal.name, replicas_of(found.desired));
        let when = found.scaled_at.as_deref().map(|at| format!("scaled at {}", time::of_day(at)));
        let by = found.scaled_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        let when = when.map(|when| format!(" ({when}{by})")).unwrap_or_default();
        Err(Error::Failed {
            what: format!("superseded: {name} is now to have {now}{when}"),
            lines: Vec::new(),
            hint: format!("sleepctl ps {name}"),
        })
    }
}

/// What is watched, and what is known of it so far.
struct Watched<'a> {
    goal: &'a Goal,
    last: &'a RefCell<Progress>,
    crashes: &'a mut Crashes,
    witness: &'a mut Witness,
}

/// Follows one stream of events until the goal is met, or the stream ends.
async fn watch(
    client: &Client,
    mut events: Lines,
    live: &mut Live<'_>,
    watched: Watched<'_>,
    heard: &mut String,
) -> Result<Progress, Error> {
    let Watched { goal, last, crashes, witness } = watched;
    loop {
        if !witness.knows(goal) && witness.ask(client, goal).await? {
            // What it told before it had heard of it is nothing that came of it.
            heard.clear();
            last.borrow_mut().stuck = false;
            events = client.lines(&goal.path()).await?;
        }
        let knows = witness.knows(goal);
        let is_stuck = knows && last.borrow().stuck && goal.is_known(&last.borrow());
        let within = match (is_stuck, knows) {
            (true, _) => STUCK_FOR,
            (false, true) => Duration::MAX,
            // That it hears of it may be no event.
            (false, false) => AGAIN_AFTER,
        };
        let event = match timeout(within, events.event::<Progress>()).await {
            Ok(event) => event?,
            Err(_) if is_stuck => return Err(Error::Stuck(Box::new(last.borrow().clone()))),
            Err(_) => continue,
        };
        let progress = event.ok_or_else(|| Error::cut(&"the stream of events ended"))?;
        live.update(&progress);
        if knows && goal.is_met(&progress) {
            return Ok(progress);
        }
        hopeless(goal, &progress, &last.borrow(), witness)?;
        let close = goal.services.iter().filter(|goal| knows && goal.is_watched_closely());
        for goal in close {
            if let Some(service) = service(&progress, goal) {
                crashes.look(client, live, goal, service).await?;
            }
        }
        *last.borrow_mut() = progress;
        // Not before all of it was looked at: what is named so is not told again.
        events.last_id().clone_into(heard);
    }
}

/// Fails if no waiting will help.
fn hopeless(goal: &Goal, progress: &Progress, before: &Progress, witness: &mut Witness) -> Result<(), Error> {
    let knows = witness.knows(goal);
    for goal in goal.services.iter().filter(|goal| goal.is_watched_closely()) {
        let name = &goal.name;
        let found = service(progress, goal);
        let was_there = service(before, goal).is_some_and(|service| !service.removed);
        if found.map_or(was_there, |service| service.removed) {
            let what = format!("`{name}` was removed by somebody else meanwhile");
            return Err(Error::Failed { what, lines: Vec::new(), hint: "sleepctl service ls".to_owned() });
        }
        if let Some(found) = found {
            witness.look(goal, found)?;
        }
        let is_paused = |service: &&ServiceProgress| knows && service.update.starts_with("paused");
        if let Some(service) = found.filter(is_paused) {
            let what = format!("the update of `{name}` stands still");
            let lines = vec![service.update.clone()];
            return Err(Error::Failed { what, lines, hint: format!("sleepctl service ps {name}") });
        }
    }
    Ok(())
}
