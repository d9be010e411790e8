//! `sleepctl cluster recover`: most voters are gone for good, and somebody who knows says so.

use std::time::{Duration, Instant};

use hyper::Method;
use sleep_wire::api::{Recover, Recovered, Status, VoterView};
use tokio::time::sleep;

use super::{Context, LOOK_AGAIN};
use crate::error::Error;
use crate::output::json;

/// How long a lone voter may take to lead, once it may: one that was just restarted is silent for a lease.
const LEADS_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context<'_>, force: bool) -> Result<(), Error> {
    let Context { client, output, global, status } = context;
    let danger = danger(status);
    if !global.yes {
        output.confirm(&danger)?;
    }
    let made: Recovered =
        client.tell_at_length(Method::POST, "/v1/cluster/recover", &Recover { force }).await?;
    if global.yes && made.changed {
        output.note(&danger);
    }
    let now = if global.detach { client.get("/v1/status").await } else { led(context, &made).await };
    let now: Status = now.map_err(|error| error.after(made.changed))?;
    let (id, name) = (&status.node, &status.name);
    let names = |voters: &[VoterView]| voters.iter().map(|voter| voter.name.clone()).collect::<Vec<_>>();
    let lost = unheard_names(status);
    let told = json::Recovered {
        id: id.clone(),
        name: name.clone(),
        changed: made.changed,
        generation: made.generation,
        leader: now.leader.filter(|leader| leader.fresh).map(|leader| leader.name),
        voters: names(&now.voters),
        unheard: lost.iter().map(|name| (*name).to_owned()).collect(),
    };
    let generation = made.generation;
    let words = match (&told.leader, made.changed) {
        (_, false) => {
            format!("nothing changed: {name} leads generation {generation} already, as its one voter")
        }
        (Some(leader), true) => {
            format!("{leader} leads generation {generation}; voters: {}", told.voters.join(", "))
        }
        (None, true) => format!("{name} founded generation {generation}, and is about to lead"),
    };
    output.done(&told, name, id, &words)?;
    if made.changed && !lost.is_empty() {
        output.hint(&format!("sleepctl node rm {}  # those that are gone for good", lost.join(" ")));
    }
    Ok(())
}

/// Whether nobody leads, and so many voters are silent that nobody can.
pub(super) fn is_called_for(status: &Status) -> bool {
    let led = status.leader.as_ref().is_some_and(|leader| leader.fresh);
    if status.voters.is_empty() {
        // One that never voted is not told who does.
        return status.cluster.is_some() && status.leader.is_some() && !led;
    }
    let weight = |voters: &mut dyn Iterator<Item = &VoterView>| voters.map(|voter| voter.weight).sum::<u32>();
    let lost = weight(&mut unheard(status));
    status.cluster.is_some() && !led && lost > 0 && lost * 2 >= weight(&mut status.voters.iter())
}

/// `2 of 3 voters are not heard (pi-1, pi-2)`.
pub(super) fn unheard_words(status: &Status) -> String {
    let names = unheard_names(status);
    let (lost, all) = (names.len(), status.voters.len());
    match (lost, all) {
        (_, 0) => match &status.leader {
            Some(leader) if !leader.fresh => format!("{} led last, and is not heard of lately", leader.name),
            Some(_) | None => format!("{} does not know who votes", status.seen_from),
        },
        (0, _) => format!("{} hears every voter that it knows of", status.seen_from),
        (1, 1) => format!("the one voter is not heard ({})", names.join(", ")),
        (1, _) => format!("1 of {all} voters is not heard ({})", names.join(", ")),
        _ => format!("{lost} of {all} voters are not heard ({})", names.join(", ")),
    }
}

fn unheard(status: &Status) -> impl Iterator<Item = &VoterView> {
    status.voters.iter().filter(|voter| !voter.heard)
}

/// As people look for them.
fn unheard_names(status: &Status) -> Vec<&str> {
    let mut names: Vec<&str> = unheard(status).map(|voter| voter.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn danger(status: &Status) -> String {
    let (name, leader) = (&status.name, status.leader.as_ref().filter(|leader| leader.fresh));
    let led = leader.map(|leader| format!("{} leads; ", leader.name)).unwrap_or_default();
    format!(
        "{led}{}.\n\
         {name} founds generation {} as its one voter, and leads. Tasks go on, and no node is removed.\n\
         If the others are not gone but cut off, both sides lead until they meet again; then {name}'s side \
         counts.",
        unheard_words(status),
        status.generation + 1
    )
}

/// Waits until somebody leads the generation.
async fn led(context: &Context<'_>, made: &Recovered) -> Result<Status, Error> {
    let until = Instant::now() + context.global.timeout.min(LEADS_WITHIN);
    loop {
        let status: Status = context.client.get("/v1/status").await?;
        let led = status.leader.as_ref().is_some_and(|leader| leader.fresh);
        if (led && status.generation >= made.generation) || Instant::now() >= until {
            return Ok(status);
        }
        sleep(LOOK_AGAIN).await;
    }
}
