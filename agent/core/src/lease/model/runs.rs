//! The runs that must hold, each exhausted.

use std::println;

use stateright::{Checker, Model};

use super::*;

/// No run may have more states than this.
const MOST_STATES: usize = 5_000_000;

/// Exhausts a run: nothing bad is found, and everything that should be possible was.
fn exhaust(name: &str, run: Run) {
    let begun = std::time::Instant::now();
    let checker = run.checker().threads(2).target_state_count(MOST_STATES).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!(
        "{name}: {states} states ({}), depth {}, {:?}",
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed()
    );
    assert!(checker.is_done() && states <= MOST_STATES, "not exhausted");
    checker.assert_properties();
}

#[test]
fn model_crash_and_renewal() {
    exhaust("crash, renewal", Run { crashes: 1, renewals: 1, ..Run::fixed() });
}

#[test]
fn model_release() {
    exhaust("release", Run { releases: 1, renewals: 1, ..Run::fixed() });
}
#[test]
fn model_skew() {
    let times = LeaseTimes { lease_ms: 3000, rho_ppm: 0, margin_ms: 1000 };
    exhaust("skew", Run { times, skew: 1, ..Run::fixed() });
}
#[test]
fn model_slow() {
    let slow_disks = [false, false, true];
    exhaust("slow disk of a voter", Run { slow_disks, crashes: 1, fragile: slow_disks, ..Run::fixed() });
}
#[test]
fn model_slow2() {
    let slow_disks = [true, false, false];
    exhaust("slow disk of a candidate", Run { slow_disks, crashes: 1, stands: [2, 0, 0], ..Run::fixed() });
}
#[test]
fn model_polls() {
    exhaust("polls", Run { polls: true, ..Run::fixed() });
}

#[test]
fn model_growth() {
    exhaust("growth", Run { stands: [1, 1, 0], renewals: 3, ..Run::growth() });
}
#[test]
fn model_growth_crash() {
    exhaust("growth", Run { stands: [1, 1, 0], renewals: 3, crashes: 1, ..Run::growth() });
}
