//! `fenced`: which epochs may have effects.

use super::*;

#[test]
fn an_epoch_is_durable_before_its_first_effect() {
    let mut bench = Bench::listed(1);
    assert_eq!(bench.assign(1, mine(stamp(5, 7))), ["persist 5"]);
    assert!(bench.assign(2, mine(stamp(5, 8))).is_empty());
    let said = bench.input(ReconcileInput::FenceDurable(epoch(5)));
    assert_eq!(said, ["start 7.1", "start 8.1", "7.1 preparing @0", "8.1 preparing @0"]);
}

#[test]
fn an_epoch_that_a_higher_one_overtook_starts_nothing() {
    let mut bench = Bench::listed(1);
    bench.input(ReconcileInput::EpochSeen(epoch(6)));
    assert!(bench.assign(1, mine(stamp(5, 7))).is_empty());
    assert!(bench.assign(1, mine(stamp(5, 8))).is_empty());
    // The same assignment, in a record that the holder of epoch 6 rewrote.
    let rewritten = desired(6, Some(assigned(stamp(5, 7), ME)), Order::StopFirst, Vec::new());
    assert_eq!(bench.assign(1, rewritten), ["persist 6"]);
    let said = bench.input(ReconcileInput::FenceDurable(epoch(6)));
    assert_eq!(said, ["start 7.1", "7.1 preparing @0"]);
}

#[test]
fn an_overtaken_epoch_retires_nothing() {
    let mut bench = Bench::running(stamp(5, 7));
    bench.input(ReconcileInput::EpochSeen(epoch(6)));
    let retire = desired(5, None, Order::StopFirst, Vec::from([retired(stamp(5, 7), ME)]));
    assert!(bench.assign(1, retire.clone()).is_empty());
    let SlotRecord { slot, .. } = retire.record.clone().expect("it has a record");
    let rewritten = Desired { record: Some(SlotRecord { stamp: stamp(6, 1), slot }), ..retire };
    assert_eq!(bench.assign(1, rewritten), ["persist 6"]);
    let said = bench.input(ReconcileInput::FenceDurable(epoch(6)));
    assert_eq!(said, ["stop c7.1 10000", "7.1 stopping @0 retired: another node runs it now"]);
}

#[test]
fn what_is_held_goes_on_under_a_higher_epoch_restarts_included() {
    let mut bench = Bench::running(stamp(5, 7));
    bench.input(ReconcileInput::EpochSeen(epoch(9)));
    bench.engine(exited(task(5, 7, 1), 1));
    assert_eq!(bench.wake().1, ["start 7.2", "7.2 preparing @1"]);
}

#[test]
fn a_node_that_restarted_holds_what_it_had_published() {
    let mut bench = Bench::new(9);
    let status = status(task(5, 7, 2), TaskState::Running);
    let recovered = Recovered { slot: slot(1), place: 3, status };
    assert_eq!(bench.input(ReconcileInput::Recovered(Vec::from([recovered]))), ["list"]);
    assert!(bench.assign(1, mine(stamp(5, 7))).is_empty());
    let exited = found_exited(label(slot(1), task(5, 7, 2)), 1);
    let said = bench.list(Vec::from([exited.clone()]));
    assert_eq!(said[..2], ["runtimes", "7.2 failed @3 exited with code 1"]);
    let mut said = bench.look_again(&[exited]);
    while said.is_empty() {
        said = bench.wake().1;
    }
    assert_eq!(said, ["start 7.3", "7.3 preparing @4"]);
}

#[test]
fn a_fence_that_could_not_be_written_is_written_again_before_anything_starts() {
    let mut bench = Bench::listed(1);
    bench.assign(1, mine(stamp(5, 7)));
    assert!(bench.input(ReconcileInput::FenceFailed).is_empty());
    assert_eq!(bench.wake(), (1_000, Vec::from(["persist 5".to_string()])));
}

#[test]
fn a_record_of_an_island_is_not_obeyed() {
    let mut bench = Bench::listed(1);
    let mut island = mine(stamp(1, 7));
    if let Some(record) = &mut island.record {
        record.stamp = Stamp::Time { time: sleep_wire::stamp::ClusterTime::from_ms(0, 5), node: PEER };
    }
    assert!(bench.assign(1, island).is_empty());
}
