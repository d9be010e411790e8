//! The runs that must fail: each breaks one rule, and must find what the rule prevents.

use std::println;

use stateright::{Checker, HasDiscoveries, Model};

use super::super::rules::Rule;
use super::*;

/// Breaks rules in a run, and expects a way to break this property.
fn broken(rules: &[Rule], property: &'static str, run: Run) {
    let begun = std::time::Instant::now();
    let run = Run { rules: Rules::without(rules), ..run };
    let checker =
        run.checker().threads(2).finish_when(HasDiscoveries::AllOf([property].into())).spawn_bfs().join();
    let found = checker.discovery(property).map(stateright::Path::into_actions);
    println!("{rules:?}: {} states, {:?}", checker.unique_state_count(), begun.elapsed());
    for step in found.iter().flatten() {
        println!("  {step:?}");
    }
    assert!(
        found.is_some(),
        "without {rules:?}, `{property}` was expected to break: {:?}",
        checker.discoveries()
    );
}

#[test]
fn model_mutant_no_restart_silence() {
    broken(&[Rule::RestartSilence], "one holder", Run { crashes: 1, ..Run::fixed() });
}

#[test]
fn model_mutant_silence_shorter_than_the_lease() {
    broken(&[Rule::SilenceOutlastsLease], "one holder", Run { crashes: 1, ..Run::fixed() });
}

#[test]
fn model_mutant_deadline_from_the_answer() {
    broken(&[Rule::DeadlineFromQuestion], "one holder", Run::fixed());
}

#[test]
fn model_mutant_votes_counted_twice() {
    broken(&[Rule::DistinctVoters], "one holder", Run::fixed());
}

#[test]
fn model_mutant_live_grant_overwritten() {
    broken(&[Rule::LiveGrantStands], "one holder", Run::fixed());
}

#[test]
fn model_mutant_promise_not_persisted() {
    broken(&[Rule::PromiseDurable], "epochs rise", Run { crashes: 1, ..Run::fixed() });
}

#[test]
fn model_mutant_said_before_it_is_durable() {
    let slow_disks = [false, false, true];
    broken(
        &[Rule::DurableBeforeSaid],
        "epochs rise",
        Run { slow_disks, crashes: 1, fragile: slow_disks, ..Run::fixed() },
    );
}

#[test]
fn model_mutant_ended_epoch_granted_again() {
    broken(&[Rule::EndedStaysEnded], "one holder", Run { stands: [2, 1, 0], releases: 1, ..Run::fixed() });
}

#[test]
fn model_mutant_quorums_that_do_not_meet() {
    let changes = Vec::from([weights(&[1, 1, 1])]);
    let run = Run { changes, renewals: 1, ..Run::growth() };
    broken(&[Rule::QuorumsMeet, Rule::AddedSilence], "one holder", run);
}

#[test]
fn model_mutant_change_on_promises_alone() {
    broken(&[Rule::ChangeOnGrants, Rule::AddedSilence], "one holder", Run { renewals: 1, ..Run::growth() });
}

#[test]
fn model_mutant_no_margin_for_clocks() {
    let times = LeaseTimes { lease_ms: 2000, rho_ppm: 0, margin_ms: 0 };
    broken(&[], "one holder", Run { times, skew: 1, ..Run::fixed() });
}
