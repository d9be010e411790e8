//! Clusters whose voters are gone for good: when one may begin anew, what it leads from then on, and what
//! becomes of those that come back after all.

use sleep_core::io::{Command, Event, Refusal, Reply};
use sleep_core::node::Tuning;
use sleep_sim::engine::Ended;
use sleep_sim::invariants::Checks;
use sleep_sim::scenario::HostPlan;
use sleep_sim::story;
use sleep_sim::world::{Answer, Network, SECOND, World};
use sleep_wire::durable::{Cell, LeaseCell};
use sleep_wire::lease::VoterConfig;
use sleep_wire::{Record, ServiceId, Stamp, decode};

/// A cluster of so many, in which three vote, and its service of six tasks.
fn settled(plans: &[HostPlan], seed: u64) -> (World, ServiceId) {
    let mut tuning = Tuning::default();
    tuning.lease.growth_wait = std::time::Duration::from_secs(1);
    let mut world = World::of(plans, seed, Network::default(), &tuning);
    world.checks = Some(Checks::default());
    story::form(&mut world).expect("a calm world");
    story::three_vote(&mut world, 20 * SECOND).expect("a calm world");
    let service = story::create(&mut world, 0, "web", 6).expect("a calm world");
    story::running(&mut world, 60 * SECOND, service, 6).expect("a calm world");
    (world, service)
}

fn numbered(count: usize) -> Vec<HostPlan> {
    (0..count).map(HostPlan::numbered).collect()
}

fn config(world: &World, host: usize) -> Option<VoterConfig> {
    world.hosts[host].disk.cell::<LeaseCell>(Cell::Lease)?.config
}

/// Hosts whose nodes vote, as the first host knows it, that of the holder last.
fn voters(world: &World) -> Vec<usize> {
    let config = (0..world.hosts.len()).filter_map(|host| config(world, host)).max_by_key(|config| config.id);
    let config = config.expect("three vote");
    let mut hosts: Vec<usize> = config.voters.iter().filter_map(|voter| world.host_of(voter.node)).collect();
    hosts.sort_by_key(|host| holds(world, *host));
    hosts
}

fn holds(world: &World, host: usize) -> bool {
    let host = &world.hosts[host];
    host.node.as_ref().is_some_and(|node| node.holding(host.now(world.now)).is_some())
}

fn holders(world: &World) -> Vec<usize> {
    (0..world.hosts.len()).filter(|host| holds(world, *host)).collect()
}

fn recover(world: &mut World, host: usize, force: bool) -> Answer {
    let ticket = world.command(host, Command::Recover { force });
    let end = world.now + 20 * SECOND;
    world.until(end, |world| world.answers.contains_key(&ticket));
    world.answers.get(&ticket).expect("it is answered").1.clone()
}

fn pass(world: &mut World, seconds: u64) {
    let end = world.now + seconds * SECOND;
    world.until(end, |_| false);
    assert_eq!(world.broken, None);
}

/// How many tasks run.
fn running(world: &World) -> usize {
    world.hosts.iter().map(|host| host.engine.running().count()).sum()
}

/// How many tasks were told to end.
fn ended(world: &World) -> usize {
    let tallies = world.hosts.iter().flat_map(|host| host.engine.tally().values());
    tallies.flat_map(|tally| &tally.ends).filter(|(_, why)| *why == Ended::Told).count()
}

/// Two of three voters are gone for ever. Nobody leads until somebody says so; then commands are carried out.
#[test]
fn a_survivor_leads_and_carries_out_what_it_is_told() {
    let (mut world, service) = settled(&numbered(3), 1);
    let [one, other, holder] = voters(&world)[..] else { panic!("three vote") };
    for lost in [one, holder] {
        world.power_off(lost);
    }
    pass(&mut world, 30);
    assert_eq!(holders(&world), [0_usize; 0]);

    assert_eq!(recover(&mut world, other, false), Ok(Reply::Recovered { changed: true, generation: 1 }));
    let id = world.hosts[other].id;
    assert!(
        world
            .events
            .iter()
            .any(|(_, host, event)| *host == other && *event == Event::Recovered { generation: 1, by: id })
    );
    pass(&mut world, 1);
    assert_eq!(holders(&world), [other]);
    assert_eq!(recover(&mut world, other, false), Ok(Reply::Recovered { changed: false, generation: 1 }));
    assert_eq!(recover(&mut world, other, true), Ok(Reply::Recovered { changed: false, generation: 1 }));

    story::running(&mut world, 60 * SECOND, service, 6).expect("it starts what the others ran");
    story::scale(&mut world, other, service, 8).expect("it is written");
    story::running(&mut world, 60 * SECOND, service, 8).expect("and carried out");
    assert_eq!(ended(&world), 0);
    assert_eq!(world.broken, None);
}

/// The dead were not dead. They take over the generation, its holder plans, and ends only what runs twice.
#[test]
fn the_old_majority_follows_when_it_comes_back() {
    for seed in 0..10 {
        let (mut world, service) = settled(&numbered(3), seed);
        let [one, survivor, holder] = voters(&world)[..] else { panic!("three vote") };
        // Their agents end, and their tasks go on; they come back apart from the survivor, and lead.
        for lost in [one, holder] {
            world.kill(lost);
        }
        pass(&mut world, 20);
        let recovered = recover(&mut world, survivor, false);
        assert_eq!(recovered, Ok(Reply::Recovered { changed: true, generation: 1 }), "seed {seed}");
        pass(&mut world, 20);
        for lost in [one, holder] {
            world.cut(lost, survivor);
            world.cut(survivor, lost);
            world.start(lost);
        }
        pass(&mut world, 30);
        assert_eq!(holders(&world).len(), 2, "seed {seed}: each side is led");
        world.heal();
        let end = world.now + 40 * SECOND;
        world.until(end, |world| running(world) < 6);
        assert_eq!((world.now, running(&world)), (end, 6), "seed {seed}: what runs once was stopped");
        assert_eq!(holders(&world), [survivor], "seed {seed}");
        for host in [one, survivor, holder] {
            let config = config(&world, host).expect("it votes");
            assert_eq!((config.id.epoch.generation, config.voters.len()), (1, 3), "seed {seed}");
        }
        story::running(&mut world, 60 * SECOND, service, 6).expect("six are wanted");
        story::equal(&mut world, 20 * SECOND).expect("all know the same");
        assert_eq!(world.broken, None);
    }
}

/// Its config is on the disk when it is answered; and whatever it writes in its next life is of the
/// generation.
#[test]
fn a_survivor_remembers_its_generation() {
    let (mut world, service) = settled(&numbered(3), 3);
    let [one, survivor, holder] = voters(&world)[..] else { panic!("three vote") };
    world.power_off(one);
    world.power_off(holder);
    pass(&mut world, 20);
    recover(&mut world, survivor, false).expect("nobody leads");
    world.kill(survivor);
    world.start(survivor);
    story::holder(&mut world, 10 * SECOND).expect("a lone voter leads again");
    story::scale(&mut world, survivor, service, 3).expect("it is written");
    let generations = world.hosts[survivor].disk.records().filter_map(|(_, bytes)| {
        let record: Record = decode(bytes).ok()?;
        let Stamp::Time { time, .. } = record.stamp else { return None };
        Some(time.generation)
    });
    assert_eq!(generations.max(), Some(1));
    assert_eq!(world.broken, None);
}

/// All three voters are lost: one of the others, which never voted, may begin anew; the rest follow.
#[test]
fn one_that_never_voted_may_be_the_survivor() {
    let (mut world, service) = settled(&numbered(6), 5);
    let lost = voters(&world);
    for host in &lost {
        world.power_off(*host);
    }
    pass(&mut world, 30);
    let left: Vec<usize> = (0..6).filter(|host| !lost.contains(host)).collect();
    assert_eq!(recover(&mut world, left[1], false), Ok(Reply::Recovered { changed: true, generation: 1 }));
    pass(&mut world, 20);
    assert_eq!(holders(&world), [left[1]]);
    assert_eq!(config(&world, left[1]).map(|config| config.voters.len()), Some(3));
    let by = world.hosts[left[1]].id;
    for host in left {
        let told = |(_, at, event): &(_, usize, Event)| {
            *at == host && *event == Event::Recovered { generation: 1, by }
        };
        assert!(world.events.iter().any(told), "node{} was not told", host + 1);
    }
    story::running(&mut world, 60 * SECOND, service, 6).expect("those that are left run six");
}

#[test]
fn nothing_is_recovered_that_is_not_lost() {
    let mut plans = numbered(5);
    plans[4].worker = true;
    let (mut world, _) = settled(&plans, 7);
    let holder = voters(&world)[2];
    let led = Err(Refusal::Led(world.hosts[holder].id));
    for host in 0..4 {
        assert_eq!(recover(&mut world, host, false), led);
    }
    assert_eq!(recover(&mut world, 4, true), Err(Refusal::NotControl));

    // One that has just been started has heard of nobody: that is not to be alone.
    let other = voters(&world)[0];
    world.kill(other);
    world.start(other);
    assert_eq!(recover(&mut world, other, false), led);

    // The last leader has been dead for long enough that nobody takes it for alive, and those who were just
    // started do not vote yet; but most voters answer.
    (0..4).for_each(|host| world.kill(host));
    pass(&mut world, 20);
    (0..4).filter(|host| *host != holder).for_each(|host| world.start(host));
    let two = Err(Refusal::VotersAnswer { heard: 2, voters: 3 });
    assert_eq!(recover(&mut world, other, false), two);
    assert_eq!(world.broken, None);
    assert!(world.told_to_recover.contains(&world.hosts[other].id));
}

/// A node in no cluster has nothing to recover; and nobody founds a generation unless somebody said so.
#[test]
fn a_node_alone_has_nothing_to_recover() {
    let mut world = World::of(&numbered(1), 9, Network::default(), &Tuning::default());
    assert_eq!(recover(&mut world, 0, true), Err(Refusal::NotClustered));
}

/// Somebody insists although another leads: that one gives way as soon as it hears of it.
#[test]
fn one_that_is_forced_leads_all() {
    for seed in 0..10 {
        let (mut world, service) = settled(&numbered(5), seed);
        let other = voters(&world)[0];
        let forced = recover(&mut world, other, true);
        assert_eq!(forced, Ok(Reply::Recovered { changed: true, generation: 1 }), "seed {seed}");
        pass(&mut world, 20);
        assert_eq!(holders(&world), [other], "seed {seed}");
        assert_eq!(ended(&world), 0, "seed {seed}: a task was disturbed");
        story::running(&mut world, 20 * SECOND, service, 6).expect("six run");
        assert_eq!(config(&world, other).map(|config| config.voters.len()), Some(3));
    }
}
