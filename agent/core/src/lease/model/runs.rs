//! The runs that must hold, each exhausted.

use std::println;

use stateright::{Checker, Model, Property};

use super::*;

/// No run may have more states than this.
const MOST_STATES: usize = 5_000_000;

/// Exhausts a run: nothing bad is found, and everything that should be possible was.
fn exhaust(name: &str, run: Run) {
    let begun = std::time::Instant::now();
    let checker = run.checker().threads(2).target_state_count(MOST_STATES * 20).spawn_bfs().join();
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
fn model_base() {
    exhaust("two stand", Run::fixed());
}

#[test]
fn model_crash() {
    exhaust("crash", Run { crashes: 1, ..Run::fixed() });
}
#[test]
fn model_renew() {
    exhaust("renew", Run { renewals: 1, ..Run::fixed() });
}
#[test]
fn model_growth() {
    exhaust("growth", Run { stands: [1, 0, 0], renewals: 2, ..Run::growth() });
}
