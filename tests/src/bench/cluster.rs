//! Five hosts: joining, draining, and what dies, beside Docker Swarm with three managers and two workers.

use std::time::{Duration, Instant};

use super::peer::{Act, Ours, PATIENCE, Peer, Swarm, attempt, numbers, time};
use super::table::{Table, Times};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::hosts::Lab;
use crate::wait::until;

/// How many hosts each of them has.
const HOSTS: u8 = 5;
/// How many tasks there are, but for a scale.
const TASKS: u32 = 7;
/// What is scaled to while the cluster has no leader.
const MORE: u32 = 10;
/// How long a command without a leader may take before it is typed again.
const IMPATIENCE: Duration = Duration::from_secs(3);

/// What one of them took.
#[derive(Default)]
struct Figures {
    join_first: Times,
    join_last: Times,
    drained: Times,
    empty: Times,
    replaced: Times,
    accepted: Times,
    carried_out: Times,
}

/// One of them, at work.
struct Stage<'a> {
    peer: &'a mut dyn Peer,
    watch: Watch,
    figures: Figures,
}

/// Measures, and gives the table.
pub fn measure(rounds: u32) -> Result<String> {
    let [theirs, own] = [Lab::start(HOSTS)?, Lab::start(HOSTS)?];
    let (mut swarm, mut ours) = (Swarm::on(&theirs), Ours::on(&own)?);
    let mut stages = [Stage::new(&mut swarm)?, Stage::new(&mut ours)?];
    stages.iter_mut().try_for_each(Stage::form)?;
    for round in 1..=rounds {
        for (story, tell) in STORIES {
            for stage in &mut stages {
                // For an election Swarm needs a minute. Once is enough to see that.
                if round > 1 && story == "leader killed" && stage.peer.name() == "Swarm" {
                    continue;
                }
                eprintln!("cluster: {}, {story}, round {round} of {rounds}", stage.peer.name());
                tell(stage)?;
            }
        }
    }
    let [Stage { figures: theirs_took, .. }, Stage { figures: own_took, .. }] = stages;
    let table = table(&theirs_took, &own_took);
    drop((swarm, ours));
    theirs.end()?;
    own.end()?;
    Ok(table.to_string())
}

type Story = fn(&mut Stage<'_>) -> Result<()>;

const STORIES: [(&str, Story); 3] = [
    ("drain", |stage| stage.drain()),
    ("host killed", |stage| stage.kill_host()),
    ("leader killed", |stage| stage.kill_leader()),
];

fn table(swarm: &Figures, ours: &Figures) -> Table {
    let mut table = Table::new(&["five hosts, 7 tasks", "Swarm", "sleepd", "ratio"]);
    let mut row = |what: &str, swarm: &Times, ours: &Times| {
        table.row([what, &swarm.to_string(), &ours.to_string(), &ours.over(swarm)]);
    };
    row("join until listed ready, the first two (Swarm: managers)", &swarm.join_first, &ours.join_first);
    row("join until listed ready, the last two (Swarm: workers)", &swarm.join_last, &ours.join_last);
    row("drain of one node until 7 run elsewhere", &swarm.drained, &ours.drained);
    row("… until nothing runs on it", &swarm.empty, &ours.empty);
    row("host killed until 7 run elsewhere", &swarm.replaced, &ours.replaced);
    row("leader killed until a scale is accepted", &swarm.accepted, &ours.accepted);
    row("… until 10 really run", &swarm.carried_out, &ours.carried_out);
    table
}

impl<'a> Stage<'a> {
    fn new(peer: &'a mut dyn Peer) -> Result<Self> {
        let watch = Watch::on(peer.lab().hosts())?;
        Ok(Self { peer, watch, figures: Figures::default() })
    }

    fn form(&mut self) -> Result<()> {
        eprintln!("cluster: {} forms", self.peer.name());
        self.peer.found()?;
        for number in numbers(self.peer.lab()).into_iter().skip(1) {
            let mut join = self.peer.join(number)?;
            let listed = || self.peer.ready(1).is_ok_and(|ready| ready.contains(&number));
            let took = time(&format!("node{number} is listed ready"), &mut join, listed)?.came;
            let first = self.peer.lab().hosts().len() / 2 + 1;
            let times = if usize::from(number) <= first {
                &mut self.figures.join_first
            } else {
                &mut self.figures.join_last
            };
            times.add(took);
        }
        let create = time("7 run", &mut self.peer.command(1, Act::Create(TASKS))?, || self.runs(TASKS))?;
        eprintln!("cluster: {}: 7 run after {:.2?}", self.peer.name(), create.came);
        Ok(())
    }

    /// One node loses its work, and gets some back.
    fn drain(&mut self) -> Result<()> {
        let (leader, victim) = self.cast()?;
        let start = Instant::now();
        let mut drain = self.peer.command(leader, Act::Drain(victim))?;
        let took = time(&format!("node{victim} is drained"), &mut drain, || {
            self.elsewhere(victim) >= TASKS as usize
        })?;
        until("nothing runs there", PATIENCE, || {
            (self.watch.running_on(self.peer.lab().host(victim)) == 0).then_some(())
        })?;
        self.figures.empty.add(start.elapsed());
        self.figures.drained.add(took.came);
        time("it is active", &mut self.peer.command(leader, Act::Activate(victim))?, || self.runs(TASKS))?;
        self.even_again(victim)
    }

    /// A host that does not lead loses its power.
    fn kill_host(&mut self) -> Result<()> {
        let (_, victim) = self.cast()?;
        let start = self.kill(victim)?;
        until("what ran there runs elsewhere", PATIENCE, || self.runs(TASKS).then_some(()))?;
        self.figures.replaced.add(start.elapsed());
        self.revive(victim)
    }

    /// The host that leads loses its power, and somebody scales at once.
    fn kill_leader(&mut self) -> Result<()> {
        let (victim, _) = self.cast()?;
        let doors = self.peer.doors();
        let door = *doors.iter().find(|door| **door != victim).ok_or_else(|| Error::new("no other door"))?;
        let start = self.kill(victim)?;
        until("a scale is accepted", PATIENCE, || {
            let mut scale = self.peer.command(door, Act::Scale(MORE)).ok()?;
            attempt("scale", &mut scale, IMPATIENCE).then_some(())
        })?;
        self.figures.accepted.add(start.elapsed());
        until("10 run on hosts that live", PATIENCE, || self.runs(MORE).then_some(()))?;
        self.figures.carried_out.add(start.elapsed());
        self.revive(victim)?;
        time("7 run", &mut self.peer.command(door, Act::Scale(TASKS))?, || self.runs(TASKS))?;
        self.even_again(victim)
    }

    /// Who leads, and the other node that has most to lose.
    fn cast(&self) -> Result<(u8, u8)> {
        let doors = self.peer.doors();
        let leader = until("somebody leads", PATIENCE, || {
            doors.iter().find_map(|door| self.peer.leader(*door).ok().flatten())
        })?;
        let lab = self.peer.lab();
        let others = numbers(lab).into_iter().filter(|number| *number != leader);
        let victim = others.max_by_key(|number| self.watch.running_on(lab.host(*number)));
        Ok((leader, victim.ok_or_else(|| Error::new("there is one node"))?))
    }

    fn kill(&mut self, number: u8) -> Result<Instant> {
        let start = Instant::now();
        self.peer.power_off(number)?;
        self.watch.lose(self.peer.lab().host(number));
        Ok(start)
    }

    fn revive(&mut self, number: u8) -> Result<()> {
        self.peer.power_on(number)?;
        self.watch.add(self.peer.lab().host(number))?;
        let all = self.peer.lab().hosts().len();
        let doors = self.peer.doors();
        until(&format!("node{number} is ready again"), PATIENCE, || {
            doors
                .iter()
                .all(|door| self.peer.ready(*door).is_ok_and(|ready| ready.len() == all))
                .then_some(())
        })
    }

    /// Waits until the work has come back to a node: ours does, Swarm's never.
    fn even_again(&self, number: u8) -> Result<()> {
        let returns = self.peer.name() != "Swarm";
        until("all is even again", PATIENCE, || {
            let back = self.watch.running_on(self.peer.lab().host(number)) > 0;
            (self.runs(TASKS) && (back || !returns)).then_some(())
        })
    }

    fn runs(&self, count: u32) -> bool {
        self.watch.running() == count as usize
    }

    fn elsewhere(&self, number: u8) -> usize {
        self.watch.running() - self.watch.running_on(self.peer.lab().host(number))
    }
}
