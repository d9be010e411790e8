//! Agents of the next release beside those of this one.

use std::collections::BTreeSet;

use sleep_core::io::Event;
use sleep_sim::run::run;
use sleep_sim::scenario::{Fault, file, stories};
use sleep_sim::successor::is_of_a_successor;
use sleep_sim::world::World;
use sleep_wire::{Record, decode};

/// The keys under which a host holds what only a later release can read.
fn unread(world: &World, host: usize) -> BTreeSet<Vec<u8>> {
    let node = world.hosts[host].node.as_ref().expect("it runs");
    let records = node.records().filter_map(|bytes| decode::<Record>(bytes).ok());
    records.filter(is_of_a_successor).map(|record| record.key).collect()
}

/// Every host is upgraded, one after the other, and in between some of them speak the next protocol: to each
/// other, and to nobody else. What they write that others cannot read is kept by all.
#[test]
fn a_rolling_upgrade_splits_nothing_and_loses_nothing() {
    let text = stories::text("rolling-upgrade").expect("it comes with the program");
    let mut scenario = file::read(text).expect("a scenario");
    // The last host keeps its release.
    scenario.faults.retain(|(_, fault)| !matches!(fault, Fault::Upgrade { node: 3, .. }));
    let (outcome, world) = run(&scenario);
    outcome.verdict.expect("it is well");
    let unheard = |event: &Event| {
        matches!(event, Event::UnspokenProtocol { .. } | Event::BadFrame { .. } | Event::RecordRefused { .. })
    };
    let told: Vec<_> = world.events.iter().filter(|(_, _, event)| unheard(event)).collect();
    // One host goes back: it may be spoken to for a moment as before.
    let back = world.hosts[0].id;
    assert!(told.iter().all(|(_, host, _)| world.hosts[*host].id == back), "{told:?}");
    for (number, host) in world.hosts.iter().enumerate() {
        let spoken = host.successor.as_ref().map(|successor| successor.spoken > 100);
        assert_eq!(spoken, (number != 3).then_some(true), "host {number}");
    }
    let kept = unread(&world, 0);
    let families: BTreeSet<u8> = kept.iter().filter_map(|key| key.first().copied()).collect();
    assert!(families.len() >= 4, "every kind of what is new was written: {kept:?}");
    for host in 1..world.hosts.len() {
        assert_eq!(unread(&world, host), kept, "host {host}");
    }
}
