//! What happens to a cluster on this machine, step by step, with the time that each step took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyper::Method;
use sleep_wire::api::{
    Changed, Init, Initialised, Join, Joined, NodeStatus, NodeView, Progress, ServiceChanged,
    SetAvailability, SetScale,
};
use sleep_wire::node::Availability;
use tokio::time::{sleep, timeout};

use super::agents::Agents;
use crate::args::{Dev, DevDriver};
use crate::client::{self, Client, path};
use crate::command::create;
use crate::error::Error;
use crate::output::{Output, words};

/// How long a step may take.
const STEP: Duration = Duration::from_secs(30);

const SERVICE: &str = "sleep-app";

/// The replicas of the app at its height and after, on so many nodes: never fewer than nodes, since work
/// returns to a node only where another has two tasks more.
fn replicas(nodes: usize) -> (u32, u32) {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    (nodes.saturating_add(2).max(7), nodes.max(4))
}

/// Tells the story.
///
/// # Errors
/// [`Error`] of the step that failed.
pub(super) async fn tell(output: &Output, agents: &mut Agents, dev: &Dev) -> Result<(), Error> {
    let begun = Instant::now();
    let client = found(output, agents).await?;
    let mut story = Story { output, client, service: String::new(), ids: BTreeMap::new() };
    story.ids = everybody_ready(&story.client, agents.all.len()).await?;
    let command = match (dev.driver, &dev.image) {
        (DevDriver::Docker, Some(image)) => format!("{image} sleep infinity"),
        (DevDriver::Docker | DevDriver::Process, _) => "--runtime process -- sleep infinity".to_owned(),
    };
    story.deploy(&command).await?;
    let (most, then) = replicas(agents.all.len());
    story.scale(most).await?;
    story.scale(then).await?;
    story.drain("node2").await?;
    story.activate("node2").await?;
    let last = agents.all.len() - 1;
    let name = agents.all[last].name.clone();
    let at = Instant::now();
    let node = story.ids.get(&name).cloned().unwrap_or_default();
    let pid = agents.pull_plug(&name, &node).await?.unwrap_or_default();
    story
        .output
        .line(&format!("$ kill -9 {pid}   # {name} and all its tasks, as if its plug were pulled"))?;
    story.recover(&name, at).await?;
    let at = Instant::now();
    agents.all[last].start().await?;
    everybody_ready(&story.client, agents.all.len()).await?;
    output.line(&format!("  {name} started again: ready after {}", words::exact(at.elapsed())))?;
    output.line(&format!("All of it took {}.", words::exact(begun.elapsed())))
}

/// What to do with the cluster.
pub(super) fn invite(output: &Output, agents: &Agents) -> Result<(), Error> {
    let program = std::env::args().next().unwrap_or_else(|| "sleepctl".to_owned());
    output.line(&format!(
        "\nThe cluster is yours until Ctrl-C, which leaves nothing behind. Its API is a socket; in another \
         terminal:\n\n  export SLEEPD_HOST={}\n  {program} node ls\n  {program} service scale {SERVICE}=9\n  \
         {program} why {SERVICE}.1",
        agents.hosts()
    ))
}

/// Starts the agents and makes them a cluster.
async fn found(output: &Output, agents: &mut Agents) -> Result<Client, Error> {
    let at = Instant::now();
    let folder = agents.folder().display().to_string();
    let mut clients = Vec::new();
    for agent in &mut agents.all {
        clients.push(agent.start().await?);
    }
    let count = clients.len();
    let took = words::exact(at.elapsed());
    output
        .line(&format!("{count} agents on this machine, all they know below {folder}: started in {took}"))?;
    let mut clients = clients.into_iter();
    let first = clients.next().ok_or_else(|| Error::Internal("no agents".to_owned()))?;
    output.line("$ sleepctl cluster init   # and `cluster join` on the others")?;
    let at = Instant::now();
    let made: Initialised = first.tell(Method::POST, "/v1/cluster/init", &Init {}).await?;
    agents.cluster.clone_from(&made.cluster);
    for client in clients {
        let join = Join { token: made.token.clone(), addresses: made.addresses.clone() };
        let _: Joined = client.tell(Method::POST, "/v1/cluster/join", &join).await?;
    }
    let took = words::exact(at.elapsed());
    output.line(&format!("  {} leads a cluster of {count} after {took}", made.name))?;
    Ok(first)
}

/// Waits until so many nodes are ready, and returns their ids by name.
async fn everybody_ready(client: &Client, count: usize) -> Result<BTreeMap<String, String>, Error> {
    let all = async {
        loop {
            let nodes: Vec<NodeView> = client.get("/v1/nodes").await?;
            let ready = nodes.into_iter().filter(|node| node.status == NodeStatus::Ready);
            let ready: BTreeMap<String, String> = ready.map(|node| (node.name, node.id)).collect();
            if ready.len() == count {
                return Ok(ready);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(STEP, all).await.unwrap_or_else(|_| Err(late("not all nodes are ready")))
}

fn late(what: &str) -> Error {
    let what = format!("{what} after {}", words::exact(STEP));
    Error::Failed { what, lines: Vec::new(), hint: String::new() }
}

struct Story<'a> {
    output: &'a Output,
    client: Client,
    service: String,
    ids: BTreeMap<String, String>,
}

impl Story<'_> {
    async fn deploy(&mut self, command: &str) -> Result<(), Error> {
        let line = format!("sleepctl service create --name {SERVICE} {command}");
        self.output.line(&format!("$ {line}"))?;
        let at = Instant::now();
        let request = create::typed(&line)?;
        let created: ServiceChanged = self.client.change(Method::POST, "/v1/services", &request).await?;
        self.service = created.id;
        let progress = self.until("its task does not run", |progress| running(progress) == 1).await?;
        self.output.line(&format!(
            "  1/1 running after {}: {}",
            words::exact(at.elapsed()),
            spread(&progress)
        ))
    }

    async fn scale(&self, replicas: u32) -> Result<(), Error> {
        self.output.line(&format!("$ sleepctl service scale {SERVICE}={replicas}"))?;
        let at = Instant::now();
        let services = BTreeMap::from([(self.service.clone(), replicas)]);
        let _: Changed = self.client.change(Method::PUT, "/v1/scale", &SetScale { services }).await?;
        let wanted = usize::try_from(replicas).unwrap_or(usize::MAX);
        let scaled = |progress: &Progress| {
            let service = progress.services.first();
            running(progress) == wanted
                && service.is_some_and(|service| service.slots.len() == wanted && service.ending == 0)
        };
        let progress = self.until("the scale is not reached", scaled).await?;
        let took = words::exact(at.elapsed());
        self.output.line(&format!("  {replicas}/{replicas} running after {took}: {}", spread(&progress)))
    }

    async fn drain(&self, name: &str) -> Result<(), Error> {
        self.output.line(&format!("$ sleepctl node drain {name}"))?;
        let at = Instant::now();
        self.set_availability(name, Availability::Drained).await?;
        let wanted = |progress: &Progress| progress.services.first().map_or(0, |service| service.slots.len());
        let moved = |progress: &Progress| {
            running(progress) == wanted(progress)
                && progress.nodes.iter().all(|node| node.name != name || node.tasks == 0)
        };
        let progress = self.until("the node is not empty", moved).await?;
        self.output.line(&format!(
            "  {name} is empty after {}: {}",
            words::exact(at.elapsed()),
            spread(&progress)
        ))
    }

    async fn activate(&self, name: &str) -> Result<(), Error> {
        self.output.line(&format!("$ sleepctl node activate {name}"))?;
        let at = Instant::now();
        self.set_availability(name, Availability::Active).await?;
        let back = |progress: &Progress| {
            let slots = progress.services.iter().flat_map(|service| &service.slots);
            let mut here = slots.filter(|slot| slot.node == name).peekable();
            here.peek().is_some() && here.all(|slot| slot.state == "running")
        };
        let progress = self.until("no work came back", back).await?;
        let took = words::exact(at.elapsed());
        self.output.line(&format!("  work came back after {took}: {}", spread(&progress)))
    }

    async fn recover(&self, name: &str, at: Instant) -> Result<(), Error> {
        let down = |progress: &Progress| {
            progress.nodes.iter().any(|node| node.name == name && node.status == NodeStatus::Down)
        };
        self.until("nobody noticed", down).await?;
        let noticed = words::exact(at.elapsed());
        let recovered = |progress: &Progress| {
            let slots: Vec<_> = progress.services.iter().flat_map(|service| &service.slots).collect();
            slots.iter().all(|slot| slot.node != name && slot.state == "running")
        };
        let progress = self.until("its work did not come back", recovered).await?;
        let took = words::exact(at.elapsed());
        self.output.line(&format!(
            "  noticed after {noticed}, all running again after {took}: {}",
            spread(&progress)
        ))
    }

    async fn set_availability(&self, name: &str, availability: Availability) -> Result<(), Error> {
        let path = path(&["nodes", name, "availability"]);
        let _: Changed = self.client.change(Method::PUT, &path, &SetAvailability { availability }).await?;
        Ok(())
    }

    /// What the cluster looks like once it looks as wanted.
    async fn until(&self, otherwise: &str, holds: impl Fn(&Progress) -> bool) -> Result<Progress, Error> {
        let nodes = client::list(self.ids.values().map(String::as_str));
        let watch = format!("{}?services={}&nodes={nodes}", path(&["watch"]), self.service);
        let seen = async {
            let mut events = self.client.lines(&watch).await?;
            loop {
                let event = events.event::<Progress>().await?;
                let progress = event.ok_or_else(|| Error::cut(&"the stream of events ended"))?;
                if holds(&progress) {
                    return Ok(progress);
                }
            }
        };
        timeout(STEP, seen).await.unwrap_or_else(|_| Err(late(otherwise)))
    }
}

fn running(progress: &Progress) -> usize {
    let slots = progress.services.iter().flat_map(|service| &service.slots);
    slots.filter(|slot| slot.state == "running").count()
}

/// How many tasks run on each node.
fn spread(progress: &Progress) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for slot in progress.services.iter().flat_map(|service| &service.slots) {
        *counts.entry(&slot.node).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(node, count)| format!("{node} {count}")).collect();
    counts.join(", ")
}
