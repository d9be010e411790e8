//! Claims about a few nodes in a calm world: growth, dead voters, handing over, recovery.

use super::world::*;
use super::*;

fn founded(hosts: usize) -> World {
    let mut world = World::new(hosts, 1, CALM);
    world.found(0);
    world
}

/// Three nodes of which the first leads and all vote.
fn grown(hosts: usize) -> World {
    let mut world = founded(hosts);
    world.run(10 * SECOND);
    assert_eq!(world.voters(0), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(world.holders().len(), 1);
    world.told.clear();
    world
}

fn acquired(world: &World) -> Vec<usize> {
    let acquired = world.told.iter().filter(|(_, told)| matches!(told, LeaseOutput::Acquired { .. }));
    acquired.map(|(node, _)| *node).collect()
}

#[test]
fn a_founder_leads_at_once() {
    let mut world = founded(1);
    world.run(30 * MS);
    assert_eq!(world.holders().iter().map(|(node, _)| *node).collect::<Vec<_>>(), [0]);
}

#[test]
fn two_control_nodes_have_one_voter() {
    let mut world = founded(2);
    world.run(20 * SECOND);
    assert_eq!(world.voters(0), [(0, 1)]);
    assert_eq!(world.lease(1).config(), None);
    assert_eq!(acquired(&world), [0]);
}

/// {A:1} → {A:2,B:1,C:1} → {1,1,1}, without a moment in which nobody leads.
#[test]
fn one_voter_grows_to_three_and_goes_on_leading() {
    let mut world = founded(3);
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        world.run(MS);
        let voters = world.voters(0);
        if seen.last() != Some(&voters) {
            seen.push(voters);
        }
        assert!(world.real < 30 * MS || world.holders().len() == 1, "at {} µs", world.real);
    }
    let expected: [&[(usize, u8)]; 3] = [&[(0, 1)], &[(0, 2), (1, 1), (2, 1)], &[(0, 1), (1, 1), (2, 1)]];
    assert_eq!(seen, expected);
    assert_eq!(acquired(&world), [0]);
}

/// Two candidates must have answered for the whole wait.
#[test]
fn nobody_gets_a_seat_who_has_not_answered_for_long_enough() {
    let mut world = founded(3);
    // Longer than one that was restarted is silent: its seat would be a loss till then.
    world.run(4_400 * MS);
    assert_eq!(world.voters(0), [(0, 1)]);
    world.run(900 * MS);
    assert_eq!(world.voters(0), [(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn another_leads_within_a_lease_and_three_seconds() {
    for seed in 0..50 {
        let mut world = World::new(3, seed, CALM);
        world.found(0);
        world.run(10 * SECOND);
        world.told.clear();
        world.crash(0);
        world.run(7 * SECOND);
        let holders: Vec<usize> = world.holders().iter().map(|(node, _)| *node).collect();
        assert!(matches!(holders[..], [1 | 2]), "seed {seed}: {holders:?}");
        assert_eq!(acquired(&world), holders, "seed {seed}: at the first attempt that succeeds");
    }
}

/// A lone voter that is restarted leads again as soon as its new promise is durable.
#[test]
fn a_lone_voter_leads_again_at_once() {
    let mut world = founded(2);
    world.run(5 * SECOND);
    let before = world.holders();
    world.crash(0);
    world.run(10 * MS);
    world.start(0);
    world.run(30 * MS);
    let after = world.holders();
    assert!(after.len() == 1 && after[0].0 == 0 && after[0].1 > before[0].1, "{before:?} {after:?}");
}

/// A dead voter's seat goes to its successor while the holder has two votes.
#[test]
fn a_dead_voter_gives_way_to_a_living_candidate() {
    let mut world = grown(4);
    world.crash(2);
    let mut seen = Vec::new();
    for _ in 0..3_000 {
        world.run(MS);
        let voters = world.voters(0);
        if seen.last() != Some(&voters) {
            seen.push(voters);
        }
    }
    let steps = [[(0, 1), (1, 1), (2, 1)], [(0, 2), (1, 1), (2, 1)], [(0, 2), (1, 1), (3, 1)]];
    assert_eq!(seen[..3], steps.map(Vec::from));
    assert_eq!(seen[3..], [Vec::from([(0, 1), (1, 1), (3, 1)])]);
    assert_eq!(acquired(&world), [0; 0]);
}

/// Without anybody to take its place a dead voter keeps its seat.
#[test]
fn a_dead_voter_that_cannot_be_replaced_stays() {
    let mut world = grown(3);
    world.crash(2);
    world.run(20 * SECOND);
    assert_eq!(world.voters(0), [(0, 1), (1, 1), (2, 1)]);
}

/// A live voter is removed after its successor was added.
#[test]
fn a_voter_that_leaves_is_replaced_first() {
    let mut world = grown(4);
    let mut seen = Vec::from([Vec::from([0, 1, 2])]);
    world.input(2, LeaseInput::HandOver);
    for _ in 0..3_000 {
        world.run(MS);
        let voters: Vec<usize> = world.voters(0).iter().map(|(node, _)| *node).collect();
        if seen.last() != Some(&voters) {
            seen.push(voters);
        }
    }
    assert_eq!(seen, [Vec::from([0, 1, 2]), Vec::from([0, 1, 2, 3]), Vec::from([0, 1, 3])]);
    assert_eq!(world.told, [(2, LeaseOutput::HandedOver)]);
}

/// Lease and seat are gone within five seconds, and somebody else leads.
#[test]
fn a_holder_that_leaves_hands_over() {
    for hosts in 2..=5 {
        let mut world = founded(hosts);
        world.run(10 * SECOND);
        world.told.clear();
        world.input(0, LeaseInput::HandOver);
        world.run(5 * SECOND);
        assert!(world.told.contains(&(0, LeaseOutput::HandedOver)), "{hosts} hosts: {:?}", world.told);
        let holders = world.holders();
        assert!(holders.len() == 1 && holders[0].0 != 0, "{hosts} hosts: {holders:?}");
        let voters = world.voters(holders[0].0);
        assert!(voters.iter().all(|(node, _)| *node != 0), "{hosts} hosts: {voters:?}");
    }
}

/// One that was given its seat a moment ago leads as soon as the holder that gave it has ceased: whatever it
/// was to be silent beside is over.
#[test]
fn an_heir_leads_within_a_second() {
    for hosts in 2..=5 {
        let mut world = founded(hosts);
        world.run(10 * SECOND);
        world.told.clear();
        world.input(0, LeaseInput::HandOver);
        world.run(SECOND);
        assert!(world.told.contains(&(0, LeaseOutput::HandedOver)), "{hosts} hosts: {:?}", world.told);
        let holders = world.holders();
        assert!(holders.len() == 1 && holders[0].0 != 0, "{hosts} hosts: {holders:?}");
    }
}

/// A lone voter that leaves does not cease before its heir has a seat, and knows it.
#[test]
fn a_lone_voter_holds_until_its_heir_has_its_seat() {
    let mut world = founded(2);
    world.run(10 * SECOND);
    world.cut.insert((0, 1));
    world.input(0, LeaseInput::HandOver);
    world.run(SECOND);
    assert_eq!(world.holders().iter().map(|(node, _)| *node).collect::<Vec<_>>(), [0]);
    world.cut.clear();
    world.run(3 * SECOND);
    assert_eq!(world.holders().iter().map(|(node, _)| *node).collect::<Vec<_>>(), [1]);
}

/// There is nobody to hand over to.
#[test]
fn the_last_control_node_leaves_at_once() {
    let mut world = founded(1);
    world.run(5 * SECOND);
    let epoch = world.holders()[0].1;
    world.told.clear();
    world.input(0, LeaseInput::HandOver);
    let lost = LeaseOutput::Lost { epoch, why: Ending::HandedOver };
    assert_eq!(world.told, [(0, lost), (0, LeaseOutput::HandedOver)]);
    assert_eq!(world.holders(), []);
}

/// Three control nodes become two: {1,1,1} → {A:2,B:1,C:1} → {A:1}.
#[test]
fn three_voters_shrink_to_one() {
    let mut world = grown(3);
    world.control.remove(&2);
    world.run(5 * SECOND);
    assert_eq!(world.voters(0), [(0, 1)]);
    assert_eq!(acquired(&world), [0; 0]);
}

/// A holder that is demoted gives lease and seat to others.
#[test]
fn a_demoted_holder_steps_down() {
    let mut world = grown(4);
    world.control.remove(&0);
    world.run(5 * SECOND);
    let holders = world.holders();
    assert!(holders.len() == 1 && holders[0].0 != 0, "{holders:?}");
    assert_eq!(world.voters(holders[0].0), [(1, 1), (2, 1), (3, 1)]);
}

/// The lone survivor of three cannot lead, until somebody says that it is the survivor.
#[test]
fn a_survivor_leads_after_recovery_only() {
    let mut world = grown(3);
    world.crash(1);
    world.crash(2);
    world.run(60 * SECOND);
    assert_eq!(world.holders(), []);
    world.input(0, LeaseInput::Recover { known: 0 });
    world.run(SECOND);
    let holders = world.holders();
    assert!(holders.len() == 1 && holders[0].1.generation == 1, "{holders:?}");
    assert_eq!(world.voters(0), [(0, 1)]);
}

/// It was just asking in vain for the votes of the dead: that is no reason to wait, for its own is all it
/// needs.
#[test]
fn a_survivor_that_stands_in_vain_leads_at_once_after_recovery() {
    let mut world = grown(3);
    world.crash(1);
    world.crash(2);
    world.run(60 * SECOND);
    for _ in 0..40 {
        world.run(SECOND / 4);
        if world.lease(0).attempt_until.is_none() {
            continue;
        }
        world.input(0, LeaseInput::Recover { known: 0 });
        world.run(SECOND / 100);
        return assert_eq!(world.holders().len(), 1);
    }
    panic!("it never stood");
}

/// One that was no voter has heard of a generation that it has no config of: its own is above that too.
#[test]
fn a_survivor_leaves_every_generation_behind_that_it_heard_of() {
    let mut world = grown(3);
    // Another leads, and this one was told to all the same.
    world.lawless = true;
    world.input(2, LeaseInput::Recover { known: 6 });
    // The holder hears of it when it renews, and its own vote is bound till then.
    world.run(2 * SECOND);
    let greatest = world.holders().into_iter().map(|(_, epoch)| epoch.generation).max();
    assert_eq!(greatest, Some(7));
}

/// Whoever lost its seat while it was away counts the old voters, until it asks one of them.
#[test]
fn a_later_config_is_learned_by_asking() {
    let mut world = founded(4);
    world.run(10 * SECOND);
    let old = world.voters(0);
    let seated: Vec<usize> = old.iter().map(|(node, _)| *node).collect();
    let (holder, away, stays) = (world.holders()[0].0, seated[2], seated[1]);
    assert_eq!(holder, 0);
    world.separate(&[away]);
    world.run(60 * SECOND);
    assert_ne!(world.voters(stays), old);
    world.crash(holder);
    world.cut.clear();
    assert_eq!(world.voters(away), old);
    world.input(away, LeaseInput::Consult { with: Vec::from([id(stays)]) });
    world.run(SECOND / 10);
    assert_eq!(world.voters(away), world.voters(stays));
}

/// By mistake. After the heal the greater config wins, and the other half's holder learns it.
#[test]
fn recovery_on_both_halves_ends_with_one_holder() {
    let mut world = grown(4);
    world.crash(1);
    world.crash(2);
    world.run(10 * SECOND);
    world.separate(&[0]);
    // Nothing can keep these two apart but the person who told them.
    world.lawless = true;
    world.input(0, LeaseInput::Recover { known: 0 });
    world.input(3, LeaseInput::Recover { known: 0 });
    world.run(10 * SECOND);
    assert_eq!(world.holders().len(), 2);
    world.cut.clear();
    world.run(2 * SECOND);
    world.lawless = false;
    world.start(1);
    world.start(2);
    world.run(20 * SECOND);
    let holders = world.holders();
    assert!(holders.len() == 1 && holders[0].1.generation == 1, "{holders:?}");
    let voters = world.voters(holders[0].0);
    assert!(voters.len() == 3 && voters.iter().all(|(_, weight)| *weight == 1), "{voters:?}");
}

/// A node that was cut off has raised no term and disturbs nobody when it is back.
#[test]
fn a_node_that_was_cut_off_disturbs_nobody() {
    let mut world = grown(3);
    let before = world.holders();
    world.separate(&[2]);
    world.run(60 * SECOND);
    let promise = world.lease(2).promise();
    world.cut.clear();
    world.run(20 * SECOND);
    assert_eq!(world.holders(), before);
    assert_eq!(promise, before[0].1);
    assert_eq!(acquired(&world), [0; 0]);
}
