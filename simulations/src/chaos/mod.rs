//! What goes wrong in the world of a seed: which classes of faults at all, how often, and when.
//!
//! Swarm style (Groce et al. 2012): each run has a random subset of the classes, so that one never hides
//! another. Everything is drawn before the run begins, from one stream a class: a new class shifts no other's
//! schedule.
//!
//! # Not here
//! What must hold meanwhile: `invariants`. What users do: [`users`].

mod fault;
pub mod users;

use std::time::Duration;

use crate::engine::{Faults, Survivors};
use crate::random::Stream;
use crate::world::{Network, SECOND, Time};

pub use fault::Fault;

/// All that was drawn for a run.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// How long things go wrong.
    pub lasts: Time,
    /// What the network is like meanwhile.
    pub network: Network,
    /// How likely each mishap of an engine is meanwhile.
    pub engines: Faults,
    /// By how much each host's boot clock is too fast, in millionths: within the lease's ρ.
    pub rates_ppm: Vec<i32>,
    /// For how long a control node answers before it is given a seat: in most runs so short that three vote
    /// when things begin to go wrong.
    pub growth_wait: Duration,
    /// The mean time between two commands; `None` without users.
    pub users_every: Option<Time>,
    /// What happens when, in order.
    pub faults: Vec<(Time, Fault)>,
}

/// The lease's ρ, in millionths.
const RHO_PPM: u64 = 10_000;

/// Draws the faults of one class.
type Class = fn(&mut Draw);

impl Chaos {
    /// What the seed says, for so many hosts.
    pub fn draw(seed: u64, hosts: usize) -> Self {
        let mut swarm = Stream::new(seed, "swarm", 0);
        let lasts = swarm.between(20, 120) * SECOND;
        let mut chaos = Self {
            lasts,
            network: Network::default(),
            engines: Faults::default(),
            rates_ppm: vec![0; hosts],
            growth_wait: draw_growth(seed),
            users_every: None,
            faults: Vec::new(),
        };
        // One draw a class, whatever comes of it.
        let [
            network,
            users,
            clocks,
            cuts,
            isolation,
            crashes,
            loops,
            pauses,
            all,
            walls,
            engines,
            power,
            coups,
        ] = std::array::from_fn(|_| swarm.permille(500));
        if network {
            chaos.network = draw_network(seed);
        }
        if users {
            chaos.users_every = Some(Stream::new(seed, "users", 0).between(SECOND / 2, 10 * SECOND));
        }
        if clocks {
            let mut stream = Stream::new(seed, "clock rates", 0);
            chaos.rates_ppm.fill_with(|| within(&mut stream, RHO_PPM));
        }
        let mut draw = Draw { seed, lasts, hosts: hosts as u64, faults: Vec::new() };
        let classes: [(bool, Class); 9] = [
            (cuts, Draw::cuts),
            (isolation, Draw::isolation),
            (crashes, Draw::crashes),
            (loops, Draw::loops),
            (pauses, Draw::pauses),
            (all, Draw::all),
            (walls, Draw::walls),
            (power, Draw::power),
            (coups, Draw::coups),
        ];
        for (_, class) in classes.into_iter().filter(|(drawn, _)| *drawn) {
            class(&mut draw);
        }
        if engines {
            chaos.engines = draw_engines(seed);
            draw.engines();
        }
        chaos.faults = draw.faults;
        chaos.faults.sort_by_key(|(at, _)| *at);
        chaos
    }
}

fn within(stream: &mut Stream, bound: u64) -> i32 {
    i32::try_from(stream.below(2 * bound + 1)).unwrap_or(0) - i32::try_from(bound).unwrap_or(0)
}

fn draw_growth(seed: u64) -> Duration {
    let soon = Stream::new(seed, "growth of the voters", 0).permille(800);
    Duration::from_secs(if soon { 1 } else { 30 })
}

fn draw_network(seed: u64) -> Network {
    let mut stream = Stream::new(seed, "network", 0);
    let some = |stream: &mut Stream, most: u64| {
        let value = u32::try_from(stream.below(most + 1)).unwrap_or(0);
        if stream.permille(500) { value } else { 0 }
    };
    let least = stream.between(100, 5_000);
    Network {
        least,
        most: least + stream.between(100, 100_000),
        loss_permille: some(&mut stream, 300),
        twice_permille: some(&mut stream, 500),
        late_permille: some(&mut stream, 50),
    }
}

fn draw_engines(seed: u64) -> Faults {
    let mut stream = Stream::new(seed, "engine faults", 0);
    let mut some = |most: u64| {
        let value = u16::try_from(stream.below(most + 1)).unwrap_or(0);
        if stream.permille(400) { value } else { 0 }
    };
    Faults {
        call_hangs: some(50),
        no_image: some(100),
        create_lies: some(100),
        start_fails: some(100),
        start_lies: some(100),
        stop_fails: some(200),
        remove_fails: some(200),
        event_lost: some(300),
        event_twice: some(300),
        list_partial: some(200),
        exits_at_once: some(100),
        exits_soon: some(100),
        out_of_memory: some(50),
        deaf: some(200),
        stubborn: some(200),
    }
}

struct Draw {
    seed: u64,
    lasts: Time,
    hosts: u64,
    faults: Vec<(Time, Fault)>,
}

impl Draw {
    fn stream(&self, purpose: &str) -> Stream {
        Stream::new(self.seed, purpose, 0)
    }

    fn add(&mut self, at: Time, fault: Fault) {
        self.faults.push((at.min(self.lasts), fault));
    }

    fn host(&self, stream: &mut Stream) -> usize {
        usize::try_from(stream.below(self.hosts)).expect("there are fewer hosts than numbers")
    }

    /// Parts that do not hear each other, or hear in one direction only.
    fn cuts(&mut self) {
        let mut stream = self.stream("cuts");
        for _ in 0..stream.between(1, 5) {
            let (at, time) = (stream.below(self.lasts), stream.between(SECOND / 2, 60 * SECOND));
            let (size, one_way) = (stream.between(1, self.hosts.div_ceil(2)), stream.permille(300));
            let mut side: Vec<usize> = (0..size).map(|_| self.host(&mut stream)).collect();
            side.sort_unstable();
            side.dedup();
            self.add(at, Fault::Cut { side: side.clone(), one_way });
            self.add(at + time, Fault::Mend { side });
        }
    }

    /// Whoever holds the lease then hears nobody.
    fn isolation(&mut self) {
        let mut stream = self.stream("isolation");
        for _ in 0..stream.between(1, 3) {
            let (at, time) = (stream.below(self.lasts), stream.between(SECOND, 40 * SECOND));
            self.add(at, Fault::IsolateHolder { time });
        }
    }

    /// Nobody hears the holder, and the others forget what they can: only their silence keeps a second one
    /// away.
    fn coups(&mut self) {
        let mut stream = self.stream("coups");
        for _ in 0..stream.between(1, 4) {
            let (at, time) = (stream.below(self.lasts), stream.between(4 * SECOND, 12 * SECOND));
            let (after, down) = (stream.below(2 * SECOND), stream.between(10_000, SECOND));
            self.add(at, Fault::Coup { time, after, down });
        }
    }

    fn crashes(&mut self) {
        let mut stream = self.stream("crashes");
        for _ in 0..stream.between(1, 8) {
            let (at, host) = (stream.below(self.lasts), self.host(&mut stream));
            let down = stream.between(1, 40_000) * 1_000;
            self.add(at, Fault::Kill { host });
            self.add(at + down, Fault::Start { host });
        }
    }

    /// An agent that dies again and again.
    fn loops(&mut self) {
        let mut stream = self.stream("crash loops");
        let (mut at, host) = (stream.below(self.lasts), self.host(&mut stream));
        for _ in 0..stream.between(3, 10) {
            let (up, down) = (stream.between(1_000, 5 * SECOND), stream.between(1_000, 3 * SECOND));
            self.add(at, Fault::Kill { host });
            self.add(at + down, Fault::Start { host });
            at += up + down;
        }
    }

    fn pauses(&mut self) {
        let mut stream = self.stream("pauses");
        for _ in 0..stream.between(1, 10) {
            let (at, host) = (stream.below(self.lasts), self.host(&mut stream));
            let time = 1_000 << stream.below(15);
            self.add(at, Fault::Pause { host, time });
        }
    }

    /// All agents restart at once.
    fn all(&mut self) {
        let mut stream = self.stream("all agents");
        let (at, down) = (stream.below(self.lasts), stream.between(1_000, 10 * SECOND));
        for host in 0..usize::try_from(self.hosts).expect("hosts were counted") {
            self.add(at, Fault::Kill { host });
            self.add(at + down + stream.below(SECOND), Fault::Start { host });
        }
    }

    fn walls(&mut self) {
        let mut stream = self.stream("wall steps");
        for _ in 0..stream.between(1, 10) {
            let (at, host) = (stream.below(self.lasts), self.host(&mut stream));
            // Up to ten years, either way.
            let by_ms = (1_i64 << stream.between(10, 38)) * if stream.permille(500) { 1 } else { -1 };
            self.add(at, Fault::WallStep { host, by_ms });
        }
    }

    fn power(&mut self) {
        let mut stream = self.stream("power");
        for _ in 0..stream.between(1, 3) {
            let (at, host) = (stream.below(self.lasts), self.host(&mut stream));
            self.add(at, Fault::PowerOff { host });
            self.add(at + stream.between(2 * SECOND, 40 * SECOND), Fault::Start { host });
        }
    }

    fn engines(&mut self) {
        let mut stream = self.stream("engines");
        for _ in 0..stream.between(0, 4) {
            let (at, host) = (stream.below(self.lasts), self.host(&mut stream));
            let time = stream.between(SECOND / 10, 40 * SECOND);
            let fault = match stream.below(4) {
                0 => Fault::EngineHangs { host, time },
                1 => Fault::EngineRestarts { host, time, survivors: Survivors::Running },
                2 => Fault::EngineRestarts { host, time, survivors: Survivors::Ended },
                _ => Fault::EngineRestarts { host, time, survivors: Survivors::None },
            };
            self.add(at, fault);
        }
        for _ in 0..stream.between(0, 6) {
            let (at, host) = (stream.below(self.lasts), self.host(&mut stream));
            self.add(at, Fault::ByHand { host, removed: stream.permille(500) });
        }
    }
}
