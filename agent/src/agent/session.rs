//! One life of a node: from its key's first start to its leave, or the agent's end.

mod engines;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sleep_core::io::{Input, Lane, Output, Refusal, Reply, Ticket};
use sleep_core::node::{Setup, Tuning};
use sleep_drivers::{Deadlines, Drivers, Options};
use sleep_net::{Events, JoinReply, Limits, Net, NetEvent};
use sleep_wire::engine::EngineReport;
use sleep_wire::spec::Runtime;
use sleep_wire::{ClusterId, NodeId, PublicKey};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};

use super::{AgentError, Core, Stop};
use crate::api::{self, Ask, Handle, doors};
use crate::config::Config;
use crate::crypto::{Keys, draw};
use crate::host;
use crate::lock::Lock;
use crate::logs::TaskLogs;
use crate::storage::{Durable, Storage};
use crate::told::{self, Alarms, Journal};

/// Set by `sleepctl dev` alone: its agents share one engine, told apart by their node labels.
const SHARED_ENGINE: &str = "SLEEPD_DEV_SHARED_ENGINE";

/// How often the host's addresses are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// After so many things of the network's, people have a turn, and the network's own tasks.
const IN_A_ROW: u32 = 32;

/// How a session ended.
pub(super) enum Ended {
    /// The agent was told to stop.
    Stopped,
    /// The node left its cluster, and goes on under a new key.
    Left,
    /// The core starts again on the same disk.
    Restarts,
    /// The store failed.
    StorageFailed(String),
}

/// What waits for the core, beside requests.
struct Sources {
    events: Events,
    reports: mpsc::Receiver<EngineReport>,
    durable: mpsc::UnboundedReceiver<Durable>,
    answers: mpsc::UnboundedReceiver<(Ticket, Result<Vec<u8>, String>)>,
}

/// Where a session says what others want to know; they outlive it.
#[derive(Clone)]
pub(super) struct Ways {
    /// Counts changes, for those who watch.
    pub(super) change: watch::Sender<u64>,
    /// What needs a person.
    pub(super) alarms: Alarms,
    /// What was seen of others.
    pub(super) journal: Journal,
    /// For requests that come in over QUIC.
    pub(super) handle: Handle,
    /// Where the agent listens, as it tells others.
    pub(super) addresses: watch::Sender<Vec<String>>,
    /// Where output is.
    pub(super) logs: TaskLogs,
}

/// One life of a node.
pub(super) struct Session {
    core: Core,
    net: Net,
    storage: Storage,
    drivers: Arc<Drivers>,
    sources: Sources,
    answer: mpsc::UnboundedSender<(Ticket, Result<Vec<u8>, String>)>,
    ways: Ways,
    config: Config,
    told_addresses: Vec<SocketAddr>,
    tickets: u64,
    commands: BTreeMap<Ticket, oneshot::Sender<Result<Reply, Refusal>>>,
    newcomers: BTreeMap<Ticket, JoinReply>,
    /// Whose keys may use the whole API.
    operators: BTreeSet<PublicKey>,
    wake: Option<sleep_core::Instant>,
    cluster: Option<ClusterId>,
    /// One agent an engine.
    engine: Option<(String, Lock)>,
    /// The engine, by id and version, while another agent has it.
    foreign: Option<(String, String)>,
    /// Whether it was said that the engine does not answer.
    engine_ill: bool,
    ended: Option<Ended>,
}

fn drivers_options(config: &Config, node: NodeId) -> Result<Options, AgentError> {
    Ok(Options {
        cluster: None,
        node,
        node_name: config.name.clone(),
        docker_host: config.docker_host.clone(),
        process_dir: config.data_dir.join("tasks"),
        shim: std::env::current_exe().map_err(AgentError::Host)?,
        deadlines: Deadlines::default(),
    })
}

impl Session {
    pub(super) fn begin(
        config: &Config,
        runtimes: Vec<Runtime>,
        ways: Ways,
        host_rebooted: bool,
    ) -> Result<Self, AgentError> {
        let (report, durable) = mpsc::unbounded_channel();
        let (storage, stored) = Storage::open(&config.data_dir, move |outcome| {
            // The session is over: nobody rests on this write any more.
            drop(report.send(outcome));
        })
        .map_err(AgentError::Storage)?;
        let keys = Keys::load_or_create(&config.data_dir, stored.owner()).map_err(AgentError::Key)?;
        let options = sleep_net::Options {
            seed: keys.seed(),
            listen: config.listen.clone(),
            limits: Limits::default(),
        };
        let (net, events) = Net::bind(options).map_err(AgentError::Net)?;
        let told_addresses =
            host::addresses(&config.advertise, &net.local_addrs()).map_err(AgentError::Host)?;
        let me = keys.id();
        let (drivers, reports) = Drivers::new(&runtimes, &drivers_options(config, me)?);
        let drivers = Arc::new(drivers);
        ways.logs.begin(me, drivers.clone(), keys.seed());
        let labels = config.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let seed = u64::from_le_bytes(draw::<8>().map_err(AgentError::Key)?);
        let core = Core::new(Setup {
            crypto: keys,
            facts: host::facts(config.name.clone(), &told_addresses, labels),
            runtimes,
            stored,
            host_rebooted,
            seed,
            tuning: Tuning::default(),
        });
        let (answer, answers) = mpsc::unbounded_channel();
        ways.addresses.send_replace(told_addresses.iter().map(ToString::to_string).collect());
        let mut session = Self {
            core,
            net,
            storage,
            drivers,
            sources: Sources { events, reports, durable, answers },
            answer,
            ways,
            config: config.clone(),
            told_addresses,
            tickets: 0,
            commands: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            operators: BTreeSet::new(),
            wake: None,
            cluster: None,
            engine: None,
            foreign: None,
            engine_ill: false,
            ended: None,
        };
        session.drain();
        Ok(session)
    }

    pub(super) fn me(&self) -> NodeId {
        self.core.me()
    }

    /// Takes one input after the other until the session ends.
    pub(super) async fn serve(&mut self, asked: &mut mpsc::Receiver<Ask>, stop: &mut Stop) -> Ended {
        let mut look_again = tokio::time::interval(LOOK_AGAIN);
        look_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut in_a_row = 0;
        loop {
            if let Some(ended) = self.ended.take() {
                return ended;
            }
            if in_a_row >= IN_A_ROW {
                in_a_row = 0;
                self.others_turn(asked, &mut look_again).await;
                continue;
            }
            let until_wake = self.wake.map(|at| at.since(host::now().instant));
            let timer = async {
                match until_wake {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
            };
            let Sources { events, reports, durable, answers } = &mut self.sources;
            // Packets that wait are handled before timers that are due.
            tokio::select! {
                biased;
                () = stop.asked() => {
                    self.input(Input::Stopping);
                    return Ended::Stopped;
                }
                Some(Durable { token, outcome }) = durable.recv() => {
                    let failed = outcome.clone().err();
                    self.input(Input::Durable { token, outcome });
                    if let Some(message) = failed {
                        return Ended::StorageFailed(message);
                    }
                }
                Some(event) = events.next() => {
                    in_a_row += 1;
                    self.on_event(event);
                    continue;
                }
                Some(report) = reports.recv() => self.on_report(report),
                Some((ticket, answer)) = answers.recv() => self.input(Input::JoinAnswered { ticket, answer }),
                // A node that is still starting would deny its membership.
                Some(ask) = asked.recv(), if self.core.has_started() => self.on_ask(ask),
                _ = look_again.tick() => self.look_at_addresses(),
                () = timer => {
                    self.wake = None;
                    self.input(Input::Tick);
                }
            }
            in_a_row = 0;
        }
    }

    /// However much comes from the network, somebody who asks is answered, and the service manager hears that
    /// the agent lives.
    async fn others_turn(&mut self, asked: &mut mpsc::Receiver<Ask>, look_again: &mut tokio::time::Interval) {
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            _ = look_again.tick() => self.look_at_addresses(),
            Some(ask) = asked.recv(), if self.core.has_started() => self.on_ask(ask),
            () = std::future::ready(()) => {}
        }
    }

    /// Lets what was said last leave, and ends all connections.
    pub(super) async fn say_goodbye(&mut self, within: Duration) {
        if tokio::time::timeout(within, self.net.close()).await.is_err() {
            debug!("connections did not end in time");
        }
    }

    /// Gives its port back: nothing is said or heard any more. Comes true when it is free.
    pub(super) fn release(&self) -> impl Future<Output = ()> + use<> {
        self.net.release()
    }

    fn input(&mut self, input: Input) {
        self.core.handle(host::now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            self.output(output);
        }
        let cluster = self.core.cluster();
        if cluster != self.cluster {
            self.cluster = cluster;
            self.drivers.belong_to(cluster);
        }
        self.ways.change.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Datagram { to, bytes } => self.net.datagram(to, Bytes::from(bytes)),
            Output::Message { to, lane, bytes } => {
                let lane = match lane {
                    Lane::Urgent => 0,
                    Lane::Delta => 1,
                    Lane::Bulk => 2,
                };
                self.net.message(to, lane, Bytes::from(bytes));
            }
            Output::Introduce { peer, key, addresses } => {
                let addresses: Vec<SocketAddr> = addresses.into_iter().map(SocketAddr::from).collect();
                self.ways.logs.introduce(peer, key, addresses.iter().map(ToString::to_string).collect());
                self.net.operator(key, true);
                self.net.introduce(peer, key, addresses);
            }
            Output::Expel { peer, key, farewell } => {
                self.ways.logs.expel(peer);
                self.net.operator(key, false);
                self.net.expel(peer, key, Bytes::from(farewell));
            }
            Output::Operator { key, allowed } => {
                if allowed {
                    self.operators.insert(key);
                } else {
                    self.operators.remove(&key);
                }
                self.net.operator(key, allowed);
            }
            Output::KeepConnected { peers } => self.net.keep_connected(&peers),
            Output::AskDoor { ticket, addresses, bytes } => self.ask_door(ticket, addresses, bytes),
            Output::AnswerJoin { ticket, bytes } => {
                if let Some(newcomer) = self.newcomers.remove(&ticket) {
                    newcomer.send(Bytes::from(bytes));
                }
            }
            Output::Persist { token, writes } => {
                for write in &writes {
                    debug!(%write, "to disk");
                }
                self.storage.apply(token, writes);
            }
            Output::Engine(action) => self.drivers.act(action),
            Output::Reply { ticket, reply } => {
                if let Some(client) = self.commands.remove(&ticket) {
                    // A client that has gone knows nothing, and the command is carried out all the same.
                    drop(client.send(reply));
                }
            }
            Output::WakeAt(instant) => self.wake = Some(instant),
            Output::Event(event) => {
                self.ways.journal.note(&event, host::wall());
                told::tell(&event, &self.ways.alarms);
            }
            Output::Reset => self.ended = Some(Ended::Left),
            Output::Restart => self.ended = Some(Ended::Restarts),
        }
    }

    fn ask_door(&self, ticket: Ticket, addresses: Vec<String>, bytes: Vec<u8>) {
        let (net, answer) = (self.net.clone(), self.answer.clone());
        tokio::spawn(async move {
            let asked = net.ask_door(&addresses, Bytes::from(bytes)).await;
            let said = asked.map(|bytes| bytes.to_vec()).map_err(|error| error.to_string());
            // The session is over: nobody waits for the door any more.
            drop(answer.send((ticket, said)));
        });
    }

    fn on_event(&mut self, event: NetEvent) {
        match event {
            NetEvent::Datagram { from, bytes } => self.input(Input::Datagram { from, bytes: bytes.to_vec() }),
            NetEvent::Message { from, bytes } => self.input(Input::Message { from, bytes: bytes.to_vec() }),
            NetEvent::Connected { peer, .. } => self.input(Input::Connected { peer }),
            NetEvent::Disconnected { peer } => self.input(Input::Disconnected { peer }),
            NetEvent::Dismissed { peer, farewell } => {
                self.input(Input::Dismissed { peer, farewell: farewell.to_vec() });
            }
            NetEvent::Moved { peer, address } => debug!(%peer, %address, "a peer's address changed"),
            NetEvent::JoinAsked { key, bytes, answer } => {
                let ticket = self.ticket();
                self.newcomers.insert(ticket, answer);
                self.input(Input::JoinAsked { ticket, key, bytes: bytes.to_vec() });
            }
            NetEvent::ApiStream { operator, stream } => {
                let is_operator = self.operators.contains(&operator);
                if let Some(router) = router_of(is_operator, self.ways.logs.is_peer(&operator)) {
                    doors::serve_stream(stream, router(self.ways.handle.clone()));
                }
            }
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Question(question) => question(&self.core, host::now()),
            Ask::Command(command, client) => {
                let ticket = self.ticket();
                self.commands.insert(ticket, client);
                self.input(Input::Command { ticket, command });
            }
        }
    }

    fn look_at_addresses(&mut self) {
        match host::addresses(&self.config.advertise, &self.net.local_addrs()) {
            Ok(found) if found != self.told_addresses => {
                self.told_addresses = found;
                let shown = self.told_addresses.iter().map(ToString::to_string).collect();
                self.ways.addresses.send_replace(shown);
                let labels = self.config.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let facts = host::facts(self.config.name.clone(), &self.told_addresses, labels);
                self.input(Input::Facts(Box::new(facts)));
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "the host's addresses cannot be read"),
        }
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
            debug!(%error, "sd_notify");
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

/// What of the API a key may use. One that was taken out meanwhile may have streams on their way: it is
/// nobody's then, and gets nothing.
fn router_of(is_operator: bool, is_peer: bool) -> Option<fn(Handle) -> axum::Router> {
    match (is_operator, is_peer) {
        (true, _) => Some(api::router),
        (false, true) => Some(api::peer_router),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_nobodys_gets_nothing_of_the_api() {
        assert!(router_of(false, false).is_none());
        assert!(router_of(false, true).is_some() && router_of(true, false).is_some());
    }
}
