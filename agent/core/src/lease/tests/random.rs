//! Some hundred worlds in which everything goes wrong, and then nothing.

use std::println;

use super::world::*;
use super::*;

const STORM: Weather = Weather { lost: 100, doubled: 100, delay: 400 * MS, write: 50 * MS };

/// Makes something go wrong, or right.
fn strike(world: &mut World) {
    let hosts = world.hosts.len();
    let node = world.random.pick(hosts as u64) as usize;
    match world.random.pick(12) {
        0 | 1 => world.crash(node),
        2..=4 => start_all(world),
        5 => world.separate(&[node]),
        6 => world.separate(&[node, (node + 1) % hosts]),
        7 | 8 => world.cut.clear(),
        9 => {
            let long = world.random.pick(10 * SECOND);
            world.pause(node, long);
        }
        10 => world.weather.lost = world.random.pick(300),
        _ => world.weather.delay = world.random.pick(1500 * MS) + 1,
    }
}

fn start_all(world: &mut World) {
    for node in 0..world.hosts.len() {
        if world.hosts[node].lease.is_none() {
            world.start(node);
        }
    }
}

/// One world: safety under faults, then liveness without. Says how many tenures there were.
fn one(seed: u64) -> usize {
    let mut world = World::new(3 + (seed % 3) as usize, seed, STORM);
    world.skew();
    world.found(0);
    world.run(SECOND);
    for _ in 0..40 {
        strike(&mut world);
        let pause = world.random.pick(4 * SECOND);
        world.run(pause);
    }
    world.cut.clear();
    world.weather = CALM;
    start_all(&mut world);
    world.run(30 * SECOND);
    let holders = world.holders();
    assert_eq!(holders.len(), 1, "seed {seed}: a leader within 30 s of calm");
    let voters = world.voters(holders[0].0);
    let equal = voters.len() == 3 && voters.iter().all(|(_, weight)| *weight == 1);
    assert!(equal, "seed {seed}: three equal voters: {voters:?}");
    world.run(60 * SECOND);
    assert_eq!(world.holders(), holders, "seed {seed}: and no change until the end");
    world.told.iter().filter(|(_, told)| matches!(told, LeaseOutput::Acquired { .. })).count()
}

/// At most one holder at any real instant, epochs that rise, a majority of distinct voters behind each; then,
/// when nothing is wrong any more, a leader that stays.
#[test]
fn two_hundred_worlds_never_have_two_holders() {
    let tenures: usize = (0..200).map(one).sum();
    println!("{tenures} tenures");
    assert!(tenures > 600, "worlds in which nobody leads prove nothing: {tenures} tenures");
}
