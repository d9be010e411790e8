//! The runs that must hold, each exhausted.

use std::println;

use stateright::{Checker, Model};

use super::*;

/// No run may have more states than this.
const MOST_STATES: usize = 5_000_000;

/// Where a run is given up. The checker counts every state that it makes, known ones included, and is `done`
/// when it reaches its target, too: only below it has it seen all.
const GIVEN_UP: usize = 10 * MOST_STATES;

/// Exhausts a run: nothing bad is found, and everything that should be possible was.
fn exhaust(name: &str, run: Run) {
    let begun = std::time::Instant::now();
    let checker = run.checker().threads(2).target_state_count(GIVEN_UP).spawn_bfs().join();
    let (states, made) = (checker.unique_state_count(), checker.state_count());
    println!("{name}: {states} states, {made} made, depth {}, {:?}", checker.max_depth(), begun.elapsed());
    checker.assert_properties();
    assert!(checker.is_done() && made < GIVEN_UP, "not exhausted");
    assert!(states <= MOST_STATES, "too many states");
}

/// Crash and restart of any node while two stand and one renews; messages lost, doubled, late.
#[test]
fn model_restarts() {
    exhaust("restarts", Run { crashes: 1, renewals: 1, ..Run::fixed() });
}

/// A release at any moment of a tenure, heard at any later one.
#[test]
fn model_releases() {
    exhaust("releases", Run { releases: 1, renewals: 1, ..Run::fixed() });
}

/// One that released, stands again.
#[test]
fn model_second_tenures() {
    exhaust("second tenures", Run { led: true, releases: 1, ..Run::fixed() });
}

/// No clock is ever more than a tick ahead of another: two ticks of difference over any span, which the
/// margins cover.
const SKEWED: LeaseTimes = LeaseTimes { lease_ms: 2000, rho_ppm: 0, margin_ms: 1000 };

#[test]
fn model_clocks_that_differ() {
    exhaust("clocks that differ", Run { times: SKEWED, skew: 1, renewals: 1, ..Run::fixed() });
}

#[test]
fn model_restarts_under_clocks_that_differ() {
    let fragile = [false, false, true];
    exhaust(
        "restarts under clocks that differ",
        Run { times: SKEWED, skew: 1, crashes: 1, fragile, ..Run::fixed() },
    );
}

/// A voter's writes are durable late, or lost with it.
#[test]
fn model_slow_voter() {
    let slow_disks = [false, false, true];
    exhaust("slow disk of a voter", Run { slow_disks, crashes: 1, fragile: slow_disks, ..Run::fixed() });
}

/// A candidate that forgets for what it stood does not stand for the same epoch twice.
#[test]
fn model_slow_candidate() {
    let slow_disks = [true, false, false];
    exhaust("slow disk of a candidate", Run { slow_disks, crashes: 1, stands: [2, 0, 0], ..Run::fixed() });
}

/// Polls come first: they change nothing, and do not get in the way.
#[test]
fn model_polls() {
    exhaust("polls", Run { polls: true, ..Run::fixed() });
}

/// {A:1} → {A:2,B:1,C:1} → {1,1,1}, while anybody may crash and B stands.
#[test]
fn model_growth() {
    exhaust("growth", Run { led: true, stands: [0, 1, 0], renewals: 2, crashes: 1, ..Run::growth() });
}

/// The old holder crashes while it grows, and stands again, and so does one of those that it added.
#[test]
fn model_growth_with_a_restart() {
    let changes = Run::growth().changes[..1].to_vec();
    let fragile = [true, false, false];
    let run =
        Run { led: true, stands: [1, 1, 0], renewals: 1, crashes: 1, fragile, changes, ..Run::growth() };
    exhaust("growth, the holder restarts", run);
}

/// {A:1} → {A:1,B:1}, and A ceases at any moment of it: B stands as soon as it hears, and A again.
#[test]
fn model_handing_over() {
    let changes = Vec::from([weights(&[1, 1])]);
    let run = Run {
        led: true,
        stands: [1, 1, 0],
        renewals: 1,
        releases: 1,
        crashes: 1,
        fragile: [true, true, false],
        changes,
        ..Run::growth()
    };
    exhaust("a lone voter hands over", run);
}

/// {A:1} → {A:2,B:1,C:1}: whoever it added stands as soon as the holder has ceased.
#[test]
fn model_growth_that_is_handed_over() {
    let changes = Run::growth().changes[..1].to_vec();
    let run = Run { led: true, stands: [0, 1, 0], renewals: 1, releases: 1, changes, ..Run::growth() };
    exhaust("growth that is handed over", run);
}

/// {1,1,1} → {A:1,B:1} → {1,1,1}: C is taken for dead while it stands, and gets its seat back.
#[test]
fn model_a_voter_goes_and_comes_back() {
    let changes = Vec::from([weights(&[1, 1]), weights(&[1, 1, 1])]);
    exhaust(
        "a voter goes and comes back",
        Run { led: true, stands: [0, 0, 1], renewals: 2, changes, ..Run::fixed() },
    );
}

/// {1,1,1} → {A:2,B:1,C:1} → {A:1}, while B stands.
#[test]
fn model_shrinking() {
    let changes = Vec::from([weights(&[2, 1, 1]), weights(&[1])]);
    exhaust("shrinking", Run { led: true, stands: [0, 1, 0], renewals: 2, changes, ..Run::fixed() });
}

/// The rule of changes suffices without the silence of added voters, and the silence without the rule: the
/// mutants break both.
#[test]
fn model_growth_under_one_of_two_rules() {
    for rule in [Rule::AddedSilence, Rule::ChangeOnGrants] {
        let rules = Rules::without(&[rule]);
        let run = Run { rules, led: true, stands: [0, 1, 0], renewals: 2, ..Run::growth() };
        exhaust(&std::format!("growth without {rule:?}"), run);
    }
}
