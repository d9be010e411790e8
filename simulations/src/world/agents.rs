//! What comes to an agent, and what it asks for.

use std::rc::Rc;

use sleep_core::io::{Alarm, Event as Told, Input, Output};
use sleep_wire::engine::EngineAction;

use super::addresses::Book;
use super::{Due, Persisted, Seen, World};
use crate::disk::Synced;
use crate::host::SimNode;
use crate::invariants::{Violation, bounded};

impl World {
    pub(super) fn happen(&mut self, host: usize, due: Due) {
        let alive = |life: u64| self.alive(host, life);
        match due {
            Due::Frame(frame) => self.deliver(host, frame),
            Due::Look { life } => {
                if alive(life) {
                    self.look(host);
                }
            }
            Due::Connected { peer, life } => {
                if alive(life) {
                    self.input(host, Input::Connected { peer });
                }
            }
            Due::Dismissed { peer, farewell, life } => {
                if alive(life) {
                    self.input(host, Input::Dismissed { peer, farewell });
                }
            }
            Due::Disconnected { peer, life } => {
                if alive(life) {
                    self.input(host, Input::Disconnected { peer });
                }
            }
            Due::Sync { life } => {
                let stalled = self.hosts[host].disk.stalled_until;
                if alive(life) && stalled > self.now {
                    self.at(stalled, host, Due::Sync { life });
                } else if alive(life)
                    && let Some(synced) = self.hosts[host].disk.sync(self.now)
                {
                    self.synced(host, &synced);
                }
            }
            Due::Start { life } => {
                if self.hosts[host].life == life {
                    self.start(host);
                }
            }
            Due::Engine => self.engine_reports(host),
            Due::Report { report, life } => {
                if alive(life) {
                    self.input(host, Input::Engine(*report));
                }
            }
            Due::Knock { newcomer, newcomer_life, ticket, bytes } => {
                self.knock(host, newcomer, newcomer_life, ticket, bytes);
            }
            Due::Answer { ticket, answer, met, life } => {
                if self.asking.remove(&ticket) && self.alive(host, life) {
                    if let Some((door, at)) = met {
                        self.books[host].meet(door, at);
                    }
                    self.input(host, Input::JoinAnswered { ticket, answer });
                }
            }
            Due::Foretell { life } => self.foretell(host, life),
            Due::Lie { liar } => self.lies(host, liar),
            Due::Wake { .. } => {
                self.hosts[host].wake = None;
                self.trace.add(self.now, host, b"tick");
                self.input(host, Input::Tick);
            }
        }
    }

    /// Whether the agent that something was meant for is there to hear it.
    pub(super) fn alive(&self, host: usize, life: u64) -> bool {
        self.hosts[host].life == life && self.hosts[host].node.is_some()
    }

    /// An engine has something to report, or will have.
    fn engine_reports(&mut self, host: usize) {
        if self.engines[host] != Some(self.now) {
            return;
        }
        self.engines[host] = None;
        let now = self.hosts[host].now(self.now);
        let paused = self.paused[host].until;
        while let Some(report) = self.hosts[host].engine.poll(now) {
            self.trace.add(self.now, host, b"engine");
            let life = self.hosts[host].life;
            if paused > self.now {
                self.at(paused, host, Due::Report { report: Box::new(report), life });
            } else {
                self.input(host, Input::Engine(report));
            }
        }
        self.arm_engine(host);
    }

    /// A write is on a disk, or failed: then the agent ends, and its service manager starts it again.
    fn synced(&mut self, host: usize, synced: &Synced) {
        let Synced { token, failed, why } = *synced;
        let Some(failing) = failed else {
            self.saw(host, || Seen::Synced);
            return self.input(host, Input::Durable { token, outcome: Ok(()) });
        };
        // It ends before its engine hears of anything more.
        self.hosts[host].handle(self.now, Input::Durable { token, outcome: Err(why.to_owned()) });
        self.outputs(host);
        self.check(host);
        self.kill(host);
        let life = self.hosts[host].life;
        self.at(self.now + failing.back_after, host, Due::Start { life });
    }

    pub(super) fn input(&mut self, host: usize, input: Input) {
        self.hosts[host].handle(self.now, input);
        let each = self.hosts[host].each;
        if each > 0 {
            self.pause(host, each);
        }
        self.drain(host);
    }

    pub(super) fn drain(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        // An agent that starts knows soon whether it is in one.
        let started = known.node.as_ref().filter(|node| node.has_started());
        let cluster = started.map_or(known.cluster, SimNode::cluster);
        if known.cluster != cluster {
            known.cluster = cluster;
            known.engine.set_cluster(cluster);
        }
        self.outputs(host);
    }

    fn outputs(&mut self, host: usize) {
        while let Some(output) = self.hosts[host].node.as_mut().and_then(SimNode::poll_output) {
            self.output(host, output);
        }
    }

    /// An agent tells something. If it is an alarm over itself, nothing happens after it.
    fn told(&mut self, host: usize, event: Told) {
        if let Told::Alarm(Alarm::Internal(how)) = &event
            && self.broken.is_none()
        {
            self.broken = Some(Violation { law: bounded::NAME, at: self.now, host, how: how.clone() });
        }
        self.events.push((self.now, host, event));
    }

    fn output(&mut self, host: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => self.say(host, to, true, bytes),
            Output::Message { to, bytes, .. } => self.say(host, to, false, bytes),
            Output::AskDoor { ticket, addresses, bytes } => self.ask_door(host, ticket, &addresses, bytes),
            Output::AnswerJoin { ticket, bytes } => self.answer_newcomer(host, ticket, bytes),
            Output::Persist { token, writes } => {
                let writes = Rc::new(writes);
                let mint = self.mint.clone();
                self.saw(host, || Seen::Persist(Persisted::of(Rc::clone(&writes), &mint)));
                self.hosts[host].disk.write(token, writes);
                let after = self.disks[host].between(200, 4_000);
                let life = self.hosts[host].life;
                self.at(self.now + after, host, Due::Sync { life });
            }
            Output::Engine(action) => {
                match &action {
                    EngineAction::Start(launch) => self.saw(host, || Seen::Launch(launch.label.clone())),
                    EngineAction::Stop { task, container, .. } => {
                        let container = container.clone();
                        self.saw(host, || Seen::Stop { task: *task, container });
                    }
                    EngineAction::Cancel { .. } | EngineAction::Remove { .. } | EngineAction::List { .. } => {
                    }
                }
                let now = self.hosts[host].now(self.now);
                self.hosts[host].engine.apply(now, action);
                self.arm_engine(host);
            }
            Output::Reply { ticket, reply } => {
                self.saw(host, || Seen::Reply { ticket, reply: reply.clone() });
                self.answers.insert(ticket, (self.now, reply));
            }
            Output::WakeAt(instant) => {
                let at = self.hosts[host].world_time(instant).max(self.now);
                if self.hosts[host].wake != Some(at) {
                    self.hosts[host].wake = Some(at);
                    let life = self.hosts[host].life;
                    self.at(at, host, Due::Wake { life });
                }
            }
            Output::Event(event) => self.told(host, event),
            Output::Restart => {
                self.kill(host);
                self.start(host);
            }
            Output::Reset => {
                self.new_key(host);
                self.books[host] = Book::default();
                self.hosts[host].start(&self.mint, false);
            }
            Output::Introduce { peer, addresses, .. } => self.books[host].introduce(peer, addresses),
            Output::Expel { peer, farewell, .. } => {
                self.books[host].expel(peer);
                self.expelled.insert((self.hosts[host].id, peer), farewell);
            }
            Output::Operator { .. } | Output::KeepConnected { .. } => {}
        }
    }
}
