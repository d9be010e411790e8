//! `sleepctl cluster …`.

use hyper::Method;
use sleep_wire::api::{Changed, Durability, Init, Initialised, Join, Joined, Leave, Status};
use sleep_wire::trust::Role;

use super::{Context, recover, token};
use crate::args::{ClusterCommand, Format, Global};
use crate::client::Client;
use crate::error::Error;
use crate::output::{Output, json, pairs, words};

pub(super) async fn run(output: &Output, global: Global, command: ClusterCommand) -> Result<(), Error> {
    match command {
        ClusterCommand::Init => init(output, &global).await,
        ClusterCommand::Join { token, addresses } => join(output, &global, Join { token, addresses }).await,
        ClusterCommand::Leave { force } => leave(output, &global, force).await,
        ClusterCommand::Recover { force } => recover::run(&Context::open(output, global).await?, force).await,
        ClusterCommand::Status => status(&Context::open(output, global).await?),
        ClusterCommand::Token(command) => token::run(&Context::open(output, global).await?, command).await,
    }
}

async fn init(output: &Output, global: &Global) -> Result<(), Error> {
    let client = Client::connect(global).await?;
    let made: Initialised = client.tell(Method::POST, "/v1/cluster/init", &Init {}).await?;
    let words = format!(
        "{} ({}) is now leading a cluster of 1\n\n\
         To add another host, run this there within the hour:\n\n  {}",
        made.name,
        made.node,
        token::join_line(&made.token, &made.addresses)
    );
    output.done(&made, &made.name, &made.token, &words)
}

async fn join(output: &Output, global: &Global, join: Join) -> Result<(), Error> {
    let client = Client::connect(global).await?;
    let joined: Joined = client.tell_at_length(Method::POST, "/v1/cluster/join", &join).await?;
    output.done(&joined, &joined.name, &joined.node, &format!("joined as {}", joined.name))
}

async fn leave(output: &Output, global: &Global, force: bool) -> Result<(), Error> {
    let client = Client::connect(global).await?;
    let status: Status = client.get("/v1/status").await?;
    if status.cluster.is_some() && !global.yes {
        let others = match status.nodes {
            0 | 1 => "the cluster ends, and what it knew is lost".to_owned(),
            2 => "its tasks move to the node that is left".to_owned(),
            more => format!("its tasks move to the {} nodes that are left", more - 1),
        };
        output.confirm(&format!("{} leaves the cluster for good and forgets it; {others}.", status.name))?;
    }
    let left: Changed = client.tell_at_length(Method::POST, "/v1/cluster/leave", &Leave { force }).await?;
    if left.durability == Durability::HereOnly {
        output.warning(&format!(
            "no other member has confirmed it: if they still list {0}, `sleepctl node rm {0}` on one of them",
            status.name
        ));
    }
    let named = json::Named { id: status.node.clone(), name: status.name.clone() };
    output.done(&named, &status.name, &status.node, &format!("{} left the cluster", status.name))
}

fn status(context: &Context<'_>) -> Result<(), Error> {
    let Context { status, output, .. } = context;
    match output.format {
        Format::Json => return output.json(status),
        Format::Name => return output.line(&status.name),
        Format::Table | Format::Wide if output.quiet => {
            return status.cluster.iter().try_for_each(|cluster| output.line(cluster));
        }
        Format::Table | Format::Wide => {}
    }
    let node = format!("{} ({})", status.name, status.node);
    let Some(cluster) = &status.cluster else {
        output.line(&pairs(&[
            ("node", node),
            ("version", status.version.clone()),
            ("cluster", "none".to_owned()),
            ("listens on", status.addresses.join(", ")),
        ]))?;
        output.hint("sleepctl cluster init");
        return Ok(());
    };
    let leader = status.leader.as_ref().map_or_else(
        || "none known".to_owned(),
        |leader| {
            let silent = if leader.fresh { "" } else { ", not heard of lately" };
            let generation = match status.generation {
                0 => String::new(),
                generation => format!("generation {generation}, "),
            };
            format!("{}, {generation}term {}{silent}", leader.name, leader.term)
        },
    );
    let voters: Vec<&str> = status.voters.iter().map(|voter| voter.name.as_str()).collect();
    let role = status.role.map_or("", words::role);
    output.line(&pairs(&[
        ("cluster", cluster.clone()),
        ("node", node),
        ("role", role.to_owned()),
        ("version", status.version.clone()),
        ("leader", leader),
        ("nodes", format!("{} of {} seen from {}", status.seen, status.nodes, status.seen_from)),
        ("voters", voters.join(", ")),
        ("services", format!("{}, {} of {} tasks running", status.services, status.running, status.desired)),
        ("listens on", status.addresses.join(", ")),
    ]))?;
    for alarm in &status.alarms {
        output.warning(alarm);
    }
    if recover::is_called_for(status) {
        output.warning(&format!("no leader: {}", recover::unheard_words(status)));
        if status.role == Some(Role::Control) {
            output.hint("sleepctl cluster recover  # if they are gone for good");
        }
    }
    Ok(())
}
