//! What people are shown of the records of a service.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::kit::*;
use crate::Instant;
use crate::state::{Draft, State};
use crate::validate;

fn with(drafts: &[Draft]) -> State {
    let mut state = State::new(CLUSTER, node(1), 1);
    let records: Vec<_> = drafts.iter().map(|draft| signed(1, draft)).collect();
    state.receive_records(Instant(0), node(9), &records, &Members::up_to(2), &Key9(1));
    state
}

/// A revision that had seen another beats it although its clock ran behind.
#[test]
fn causal_wins() {
    let state =
        with(&[birth(1, "web", at(100, 1)), revise(1, 2, &[1], at(90, 1)), revise(1, 3, &[2], at(80, 1))]);
    let service = state.service(service(1)).expect("it was born");
    assert_eq!((service.current.id, service.conflicts), (revision(3), Vec::new()));
    assert_eq!(state.revisions(service.id).len(), 3);
}

/// Two that had not seen each other: the later stamp is current, the other is shown until one names both.
#[test]
fn concurrent_revisions_are_conflicts_until_one_names_them_all() {
    let two = [birth(1, "web", at(1, 1)), revise(1, 2, &[1], at(50, 1)), revise(1, 3, &[1], at(40, 1))];
    let state = with(&two);
    let seen = state.service(service(1)).expect("it was born");
    assert_eq!(seen.current.id, revision(2));
    assert_eq!(seen.conflicts.iter().map(|leaf| leaf.id).collect::<Vec<_>>(), [revision(3)]);
    let state = with(&[two.as_slice(), &[revise(1, 4, &[2, 3], at(45, 1))]].concat());
    let seen = state.service(service(1)).expect("it was born");
    assert_eq!((seen.current.id, seen.conflicts), (revision(4), Vec::new()));
}

/// Scaling commutes with deploying, and a birth's replicas stand until somebody says otherwise.
#[test]
fn scale_is_a_register_of_its_own() {
    let state = with(&[birth(1, "web", at(1, 1))]);
    assert_eq!(state.service(service(1)).map(|seen| (seen.replicas, seen.scaled)), Some((1, None)));
    let state = with(&[scale(1, 7, 9, at(5, 1)), birth(1, "web", at(9, 1)), revise(1, 2, &[1], at(10, 1))]);
    assert_eq!(
        state.service(service(1)).map(|seen| (seen.replicas, seen.scaled, seen.current.id)),
        Some((7, Some(at(5, 1)), revision(2)))
    );
}

/// A door refuses what nobody may ask for, but a record need not have come through a door that is one.
#[test]
fn no_record_asks_for_more_replicas_than_people_may() {
    let state = with(&[birth(1, "web", at(1, 1)), scale(1, u32::MAX, 9, at(5, 1))]);
    assert_eq!(state.service(service(1)).map(|seen| seen.replicas), Some(validate::MAX_REPLICAS));
}

/// The older service keeps a name that two claim, the younger is shown under another, and gets it once it is
/// free.
#[test]
fn a_name_claimed_twice_goes_to_the_older() {
    let mut drafts =
        Vec::from([birth(1, "web", at(20, 1)), birth(2, "web", at(10, 1)), birth(3, "db", at(30, 1))]);
    let state = with(&drafts);
    let names = |state: &State| -> Vec<_> {
        state.services().into_iter().map(|seen| (seen.id, seen.name.text, seen.name.lost)).collect()
    };
    let short = service(1).to_string()[..4].to_string();
    let other = alloc::format!("web~{short}");
    assert_eq!(
        names(&state),
        [
            (service(1), other.clone(), true),
            (service(2), "web".to_string(), false),
            (service(3), "db".to_string(), false)
        ]
    );
    assert_eq!(state.service(service(1)).map(|seen| seen.name.text), Some(other.clone()));
    assert_eq!(state.service_named("web"), Some(service(2)));
    assert_eq!(state.service_named(&other), Some(service(1)));
    assert_eq!(state.service_named("web~zzzz"), None);
    drafts.push(remove(2, &[2], at(40, 1)));
    let state = with(&drafts);
    assert_eq!(
        names(&state),
        [(service(1), "web".to_string(), false), (service(3), "db".to_string(), false)]
    );
}

/// A removal is final, whatever was written at the same time; what it had not seen is shown.
#[test]
fn removal_is_final_and_shows_what_it_had_not_seen() {
    let state = with(&[
        birth(1, "web", at(1, 1)),
        revise(1, 2, &[1], at(2, 1)),
        remove(1, &[2], at(3, 1)),
        revise(1, 3, &[2], at(99, 1)),
    ]);
    assert!(state.is_removed(service(1)));
    assert_eq!(state.service(service(1)), None);
    assert_eq!(state.services(), []);
    let removed: Vec<_> = state.removed_services().map(|seen| (seen.service, seen.revisions)).collect();
    assert_eq!(removed, [(service(1), Vec::from([revision(3)]))]);
}

/// What a later release wrote is marked, so that nobody plans on half of the truth.
#[test]
fn a_service_with_something_unreadable_says_so() {
    let sealed = Draft { version: 2, ..scale(1, 7, 9, at(5, 1)) };
    let state = with(&[birth(1, "web", at(1, 1)), sealed]);
    assert_eq!(state.service(service(1)).map(|seen| (seen.replicas, seen.sealed)), Some((1, true)));
}

/// Until its birth has come, nothing of a service is shown.
#[test]
fn nothing_is_shown_before_the_birth() {
    let state = with(&[revise(1, 2, &[1], at(2, 1)), scale(1, 3, 9, at(2, 1))]);
    assert_eq!(state.service(service(1)), None);
    assert_eq!(state.services(), []);
}
