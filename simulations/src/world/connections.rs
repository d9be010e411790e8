//! Which connections stand, and where their ends take each other to be.
//!
//! ```text
//!             dialler moves: the other end follows what it hears from there
//! dialler ◀──────────────────────────────────────────────────────────────▶ dialled
//!             dialled moves: nothing arrives any more, until one of them dials anew
//! ```
//! # Not here
//! Where hosts are: `addresses`. How long a frame takes, and whether it is lost: `network`.

use sleep_wire::NodeId;
use sleep_wire::node::Address;

use super::{Due, SECOND, Time, World};

/// What is sent and not answered for so long makes another connection worth trying.
const SUSPECT: Time = 3 * SECOND;

/// After so long without an answer a connection is given up.
pub(super) const IDLE: Time = 10 * SECOND;

/// When what a stream carried in vain is sent once more: then after twice as long, and from then on every
/// four times as long.
const ONCE_MORE: Time = SECOND / 5;

/// Two agents, by host and life, the lower host first.
pub(super) type Pair = (usize, u64, usize, u64);

/// A connection between two of them.
pub(super) struct Connection {
    /// Who dialled: the host.
    dialler: usize,
    /// Where the dialler is, as the other end takes it.
    dialler_at: Address,
    /// When what showed that was sent.
    as_of: Time,
    /// Where the dialled is, as the dialler takes it: that does not change.
    dialled_at: Address,
    /// Since when what the dialler, and what the dialled sends has not arrived.
    unanswered: [Option<Time>; 2],
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Who sent it.
    pub(super) from: NodeId,
    pub(super) datagram: bool,
    pub(super) bytes: Vec<u8>,
    /// Over the connection of these two.
    pub(super) pair: Pair,
    /// How often its direction had been reset.
    pub(super) resets: u64,
    pub(super) sent: Time,
    /// How often it was sent in vain.
    pub(super) tries: u32,
    /// From where, and to where.
    pub(super) way: (Address, Address),
}

impl Connection {
    /// Where an end sends what it sends.
    const fn towards(&self, from: usize) -> Address {
        if from == self.dialler { self.dialled_at } else { self.dialler_at }
    }

    /// Whether what an end sent so long ago has not arrived, nor anything since.
    fn is_silent(&self, from: usize, now: Time, span: Time) -> bool {
        self.unanswered[usize::from(from != self.dialler)].is_some_and(|since| now - since >= span)
    }
}

/// The connection's key for two hosts and their lives.
pub(super) const fn pair(one: (usize, u64), other: (usize, u64)) -> Pair {
    if one.0 < other.0 { (one.0, one.1, other.0, other.1) } else { (other.0, other.1, one.0, one.1) }
}

impl Frame {
    /// The host that it was sent from, and its agent's life.
    pub(super) const fn sender(&self, host: usize) -> (usize, u64) {
        let (one, one_life, other, other_life) = self.pair;
        if one == host { (other, other_life) } else { (one, one_life) }
    }

    /// The life of the agent that it was sent to.
    pub(super) const fn life(&self, host: usize) -> u64 {
        if self.pair.0 == host { self.pair.1 } else { self.pair.3 }
    }
}

impl World {
    /// Sees to it that a connection stands over which something can be sent: where it goes, and how long it
    /// takes until then. `None` if there is no way.
    pub(super) fn connect(&mut self, from: usize, place: usize, delay: Time) -> Option<(Address, Time)> {
        let (mine, theirs) = (self.hosts[from].id, self.hosts[place].id);
        let (life, their_life) = (self.hosts[from].life, self.hosts[place].life);
        let pair = pair((from, life), (place, their_life));
        let known = self.connected.get(&pair);
        if let Some(stands) = known.filter(|known| !known.is_silent(from, self.now, SUSPECT)) {
            return Some((stands.towards(from), 0));
        }
        // A connection takes a frame each way, and both must be members as the other has it.
        let may = !self.is_cut(place, from) && self.books[place].has(mine);
        let Some((address, after)) = self.dial(from, theirs, place).filter(|_| may) else {
            let silent = known.map(|known| (known.towards(from), known.is_silent(from, self.now, IDLE)));
            return silent.and_then(|(towards, lost)| {
                if lost {
                    self.give_up(pair);
                }
                (!lost).then_some((towards, 0))
            });
        };
        if known.is_some() {
            // What the old one took is lost with it.
            self.link(from, place).resets += 1;
            self.link(place, from).resets += 1;
        }
        let (here, now) = (self.hosts[from].address, self.now);
        let connection = Connection {
            dialler: from,
            dialler_at: here,
            as_of: now,
            dialled_at: address,
            unanswered: [None; 2],
        };
        self.connected.insert(pair, connection);
        self.books[from].saw(theirs, address);
        self.books[place].saw(mine, here);
        self.at(now + after + delay, place, Due::Connected { peer: mine, life: their_life });
        self.at(now + after + 2 * delay, from, Due::Connected { peer: theirs, life });
        Some((address, after + 1))
    }

    /// A frame comes to where it was sent.
    pub(super) fn deliver(&mut self, host: usize, frame: Frame) {
        // What is on its way when a connection is closed does not arrive.
        let closed = self.is_expelled(frame.from, self.hosts[host].id)
            || (!frame.datagram && self.is_reset(frame.from, host, frame.resets));
        if !self.alive(host, frame.life(host)) || closed || self.is_outlived(host, &frame) {
            return;
        }
        if self.arrives(host, &frame) {
            self.receive(host, frame.from, frame.datagram, frame.sent, frame.bytes);
        } else if !frame.datagram {
            self.send_once_more(host, frame);
        }
    }

    /// Whether the sender's next life has a connection to the host: its earlier ones are closed by then, and
    /// nothing that comes over them is heard.
    fn is_outlived(&self, host: usize, frame: &Frame) -> bool {
        let (sender, life) = frame.sender(host);
        let present = self.hosts[sender].life;
        let here = (host, self.hosts[host].life);
        life != present && self.connected.contains_key(&pair((sender, present), here))
    }

    /// Whether a frame finds the host where it is, and that host's end takes it for its peer's.
    fn arrives(&mut self, host: usize, frame: &Frame) -> bool {
        let (source, target) = frame.way;
        let found = self.hosts[host].address == target;
        let (sender, _) = frame.sender(host);
        let Some(connection) = self.connected.get_mut(&frame.pair) else { return found };
        let dials = sender == connection.dialler;
        if !found || (!dials && source != connection.dialled_at) {
            connection.unanswered[usize::from(!dials)].get_or_insert(frame.sent);
            return false;
        }
        connection.unanswered[usize::from(!dials)] = None;
        if dials && source != connection.dialler_at && frame.sent >= connection.as_of {
            connection.dialler_at = source;
            self.books[host].saw(frame.from, source);
        }
        if dials && frame.sent >= connection.as_of {
            connection.as_of = frame.sent;
        }
        true
    }

    /// A stream repeats what did not arrive, for as long as its connection stands.
    fn send_once_more(&mut self, host: usize, frame: Frame) {
        let (sender, life) = frame.sender(host);
        let Some(connection) = self.connected.get(&frame.pair).filter(|_| self.alive(sender, life)) else {
            return;
        };
        if connection.is_silent(sender, self.now, IDLE) {
            return self.give_up(frame.pair);
        }
        let way = (self.hosts[sender].address, connection.towards(sender));
        let (sent, tries) = (self.now, frame.tries + 1);
        let after = ONCE_MORE << frame.tries.min(2);
        self.at(sent + after, host, Due::Frame(Frame { way, sent, tries, ..frame }));
    }

    /// A connection whose other end does not answer is no more.
    fn give_up(&mut self, pair: Pair) {
        self.connected.remove(&pair);
        self.part(pair);
    }

    /// Every connection of a host breaks, with what is on its way.
    pub fn reset(&mut self, host: usize) {
        let of_host = |(one, _, other, _): &&Pair| *one == host || *other == host;
        let broken: Vec<Pair> = self.connected.keys().filter(of_host).copied().collect();
        for pair in broken {
            self.connected.remove(&pair);
            self.part(pair);
        }
    }

    /// What is on its way between two is lost, and both hear that they are not connected any more.
    fn part(&mut self, (one, one_life, other, other_life): Pair) {
        self.link(one, other).resets += 1;
        self.link(other, one).resets += 1;
        for (at, life, peer) in [(one, one_life, other), (other, other_life, one)] {
            let peer = self.hosts[peer].id;
            self.at(self.now, at, Due::Disconnected { peer, life });
        }
    }

    /// What comes for an agent that is paused waits; but not for long: whoever sent it hears nothing of it,
    /// and gives the connection up.
    pub(super) fn wait(&mut self, host: usize, due: Due) {
        let pause = self.paused[host];
        if let Due::Frame(frame) = &due
            && self.is_asleep(host)
        {
            let (me, life) = (self.hosts[host].id, frame.life(host));
            if let Some(place) = self.places.get(&frame.from).copied() {
                let (one, other) = (host.min(place), host.max(place));
                let before = self.connected.len();
                self.connected.retain(|pair, _| (pair.0, pair.2) != (one, other));
                if self.connected.len() < before {
                    let their_life = self.hosts[place].life;
                    self.at(self.now, place, Due::Disconnected { peer: me, life: their_life });
                    self.at(pause.until, host, Due::Disconnected { peer: frame.from, life });
                }
            }
            return;
        }
        self.at(pause.until, host, due);
    }

    /// Whether an agent has been paused for so long that every connection to it was given up.
    pub(super) fn is_asleep(&self, host: usize) -> bool {
        let pause = self.paused[host];
        pause.until > self.now && self.now - pause.since >= IDLE
    }
}
