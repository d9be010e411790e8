//! Claims about one node: what goes in, and all that comes out.

use sleep_wire::lease::{ConfigId, Hint, LeaseBody, LeaseMessage, LeaseTimes, Voter, VoterConfig};

use super::world::{EMPTY, SETTINGS, id};
use super::*;
use LeaseOutput::{Acquired, Lost, Persist, Send};
use core::time::Duration;

const START: Instant = Instant(1_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
/// T·(1−ρ) − d and T·(1+ρ) + d.
const HOLD: Duration = Duration::from_millis(3_860);
const GRANT: Duration = Duration::from_millis(4_140);

const fn epoch(term: u64, node: usize) -> Epoch {
    Epoch { generation: 0, term, candidate: id(node) }
}

/// The first three nodes vote; the config was written in the tenure of `by`.
fn config(by: Epoch, version: u64) -> VoterConfig {
    config_of(3, by, version)
}

fn config_of(voters: usize, by: Epoch, version: u64) -> VoterConfig {
    let voters = (0..voters).map(|node| Voter { node: id(node), weight: 1 }).collect();
    VoterConfig { id: ConfigId { epoch: by, version }, voters, times: SETTINGS.times }
}

fn say(config: &VoterConfig, body: LeaseBody) -> LeaseMessage {
    LeaseMessage { config: config.clone(), body }
}

/// One node, its clock, and a disk that answers when it is told to.
struct Node {
    lease: Lease,
    now: Instant,
}

impl Node {
    fn new(node: usize, cell: LeaseCell) -> Self {
        Self { lease: Lease::new(id(node), START, cell, SETTINGS, 7), now: START }
    }

    /// A voter of the three, up for long enough to speak, which promised `promise`.
    fn voter(node: usize, promise: Epoch) -> Self {
        let mut voter = Self::new(node, LeaseCell { promise, config: Some(config(epoch(1, 0), 1)) });
        voter.now = START + GRANT;
        voter
    }

    /// The first node as holder of epoch (2, 0), granted by itself and the second. Its disk is prompt.
    fn holder() -> Self {
        Self::holder_among(3)
    }

    fn holder_among(voters: usize) -> Self {
        let old = config_of(voters, epoch(1, 0), 1);
        let mut node = Self::new(0, LeaseCell { promise: epoch(1, 0), config: Some(old.clone()) });
        node.now = START + GRANT;
        node.wait(SECOND * 2);
        node.answer(
            1,
            &old,
            LeaseBody::PreVoteAnswer { epoch: epoch(2, 0), yes: true, highest: epoch(1, 0) },
        );
        node.answer(1, &old, LeaseBody::Promise { epoch: epoch(2, 0) });
        node.answer(1, &old, LeaseBody::Granted { epoch: epoch(2, 0), seq: 1, config: old.id });
        assert_eq!(node.lease.holding(node.now), Some(epoch(2, 0)));
        node
    }

    fn input(&mut self, input: LeaseInput) -> Vec<LeaseOutput> {
        self.lease.handle(self.now, input);
        core::iter::from_fn(|| self.lease.poll_output()).collect()
    }

    fn hear(&mut self, from: usize, config: &VoterConfig, body: LeaseBody) -> Vec<LeaseOutput> {
        self.input(LeaseInput::Message { from: id(from), message: say(config, body) })
    }

    /// Handles a message; what is to be written is durable at once. Leaves out the writes.
    fn answer(&mut self, from: usize, config: &VoterConfig, body: LeaseBody) -> Vec<LeaseOutput> {
        let outputs = self.hear(from, config, body);
        self.write(outputs)
    }

    fn write(&mut self, outputs: Vec<LeaseOutput>) -> Vec<LeaseOutput> {
        let mut all = Vec::new();
        for output in outputs {
            match output {
                Persist { token, .. } => {
                    let more = self.input(LeaseInput::Durable { token });
                    all.extend(self.write(more));
                }
                Send { .. }
                | Acquired { .. }
                | Lost { .. }
                | LeaseOutput::HolderSeen { .. }
                | LeaseOutput::Announced { .. } => {
                    all.push(output);
                }
                LeaseOutput::HandedOver => all.push(output),
            }
        }
        all
    }

    fn wait(&mut self, by: Duration) -> Vec<LeaseOutput> {
        let until = self.now + by;
        let mut all = Vec::new();
        while let Some(at) = self.lease.next_wake().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let outputs = self.input(LeaseInput::Tick);
            all.extend(self.write(outputs));
        }
        self.now = until;
        all
    }
}

fn to(node: usize, config: &VoterConfig, body: LeaseBody) -> LeaseOutput {
    Send { to: id(node), message: say(config, body) }
}

/// The promise is durable before anything rests on it, and the tenure's first act is to write its own config.
#[test]
fn a_founder_leads_when_its_promise_is_durable() {
    let mut node = Node::new(0, EMPTY);
    let voters = Vec::from([Voter { node: id(0), weight: 1 }]);
    let by = |term| ConfigId { epoch: epoch(term, 0), version: 1 };
    let first = VoterConfig { id: by(0), voters, times: SETTINGS.times };
    let second = VoterConfig { id: by(1), ..first.clone() };

    node.lease.found(node.now);
    let founded = LeaseCell { promise: epoch(0, 0), config: Some(first.clone()) };
    assert_eq!(node.lease.poll_output(), Some(Persist { token: 1, cell: founded }));
    assert_eq!(node.lease.poll_output(), None);
    let promised = LeaseCell { promise: epoch(1, 0), config: Some(first) };
    assert_eq!(node.input(LeaseInput::Durable { token: 1 }), [Persist { token: 2, cell: promised }]);
    let rewritten = LeaseCell { promise: epoch(1, 0), config: Some(second) };
    assert_eq!(
        node.input(LeaseInput::Durable { token: 2 }),
        [Acquired { epoch: epoch(1, 0) }, Persist { token: 3, cell: rewritten }]
    );
    assert_eq!(node.lease.holding(node.now), Some(epoch(1, 0)));
}

/// A slow majority must shorten the lease, never extend it.
#[test]
fn lease_is_counted_from_the_question() {
    let mut node = Node::voter(0, epoch(1, 0));
    let old = config(epoch(1, 0), 1);
    node.wait(SECOND * 2);
    node.answer(1, &old, LeaseBody::PreVoteAnswer { epoch: epoch(2, 0), yes: true, highest: epoch(1, 0) });
    let asked_at = node.now;
    let grant = LeaseBody::Grant { epoch: epoch(2, 0), seq: 1 };
    assert_eq!(
        node.answer(1, &old, LeaseBody::Promise { epoch: epoch(2, 0) }),
        [to(1, &old, grant.clone()), to(2, &old, grant)]
    );
    node.now += SECOND;
    assert_eq!(
        node.answer(1, &old, LeaseBody::Granted { epoch: epoch(2, 0), seq: 1, config: old.id }),
        [Acquired { epoch: epoch(2, 0) }]
    );
    assert_eq!(node.lease.holding(asked_at + HOLD - Duration::from_micros(1)), Some(epoch(2, 0)));
    assert_eq!(node.lease.holding(asked_at + HOLD), None);
}

/// It ends by the clock, whether or not a timer has fired; and it says so before it says anything else.
#[test]
fn a_late_answer_does_not_revive_a_lease() {
    let mut node = Node::holder();
    let own = config(epoch(2, 0), 1);
    let asked = node.wait(Duration::from_millis(1_400));
    let grant = LeaseBody::Grant { epoch: epoch(2, 0), seq: 2 };
    assert_eq!(asked, [to(1, &own, grant.clone()), to(2, &own, grant)]);
    node.now += SECOND * 4;
    let release = LeaseBody::Release { epoch: epoch(2, 0) };
    assert_eq!(
        node.hear(1, &own, LeaseBody::Granted { epoch: epoch(2, 0), seq: 2, config: own.id }),
        [
            Lost { epoch: epoch(2, 0), why: Ending::Expired },
            to(1, &own, release.clone()),
            to(2, &own, release)
        ]
    );
}

/// Nothing is written while a lease is renewed.
#[test]
fn renewing_costs_no_write() {
    let mut node = Node::holder();
    let own = config(epoch(2, 0), 1);
    let first = node.lease.hint(node.now).map(|hint| hint.renewal);
    for seq in 2..20 {
        node.now = node.lease.next_wake().expect("a holder renews");
        let grant = LeaseBody::Grant { epoch: epoch(2, 0), seq };
        assert_eq!(node.input(LeaseInput::Tick), [to(1, &own, grant.clone()), to(2, &own, grant)]);
        let granted = LeaseBody::Granted { epoch: epoch(2, 0), seq, config: own.id };
        assert_eq!(node.hear(1, &own, granted), []);
        assert_eq!(node.lease.holding(node.now + HOLD - Duration::from_micros(1)), Some(epoch(2, 0)));
    }
    let last = node.lease.hint(node.now).map(|hint| hint.renewal);
    assert_eq!((first, last), (Some(1), Some(19)));
}

/// One node's second answer is its first; a stranger's is none; neither is one under another config.
#[test]
fn votes_are_of_distinct_voters_of_one_config() {
    let mut node = Node::voter(0, epoch(1, 0));
    let old = config(epoch(1, 0), 1);
    let older = config(epoch(0, 0), 1);
    node.wait(SECOND * 2);
    // Its own vote is the first; three stand between it and a majority of three, none of which counts.
    let yes = LeaseBody::PreVoteAnswer { epoch: epoch(2, 0), yes: true, highest: epoch(1, 0) };
    assert_eq!(node.answer(4, &old, yes.clone()), []);
    assert_eq!(node.answer(1, &older, yes), []);
    let other = LeaseBody::PreVoteAnswer { epoch: epoch(9, 0), yes: true, highest: epoch(1, 0) };
    assert_eq!(node.answer(1, &old, other), []);
    assert_eq!(node.lease.holding(node.now), None);
}

/// The promise is not raised: the holder must be able to go on.
#[test]
fn a_live_grant_stands() {
    let mut node = Node::voter(1, epoch(1, 0));
    let old = config(epoch(1, 0), 1);
    let granted = node.answer(0, &old, LeaseBody::Grant { epoch: epoch(2, 0), seq: 1 });
    let answer = LeaseBody::Granted { epoch: epoch(2, 0), seq: 1, config: old.id };
    assert_eq!(granted, [to(0, &old, answer)]);
    node.now += SECOND;
    let wait = |wait_ms| LeaseBody::Reject { epoch: epoch(3, 2), highest: epoch(2, 0), wait_ms };
    assert_eq!(node.hear(2, &old, LeaseBody::Prepare { epoch: epoch(3, 2) }), [to(2, &old, wait(3_140))]);
    let over = LeaseBody::Grant { epoch: epoch(3, 2), seq: 1 };
    assert_eq!(node.hear(2, &old, over), [to(2, &old, wait(3_140))]);
    assert_eq!(node.lease.promise(), epoch(2, 0));
    // The same by the clock alone, a moment before and at its end.
    node.now = START + GRANT + GRANT - Duration::from_micros(1);
    assert_eq!(node.hear(2, &old, LeaseBody::Prepare { epoch: epoch(3, 2) }), [to(2, &old, wait(1))]);
    node.now += Duration::from_micros(1);
    let promise = LeaseBody::Promise { epoch: epoch(3, 2) };
    assert_eq!(node.answer(2, &old, LeaseBody::Prepare { epoch: epoch(3, 2) }), [to(2, &old, promise)]);
}

/// A reply waits for the write that it rests on, and for no later one; it is said once, however often it was
/// asked for.
#[test]
fn nothing_is_promised_before_it_is_durable() {
    let mut node = Node::voter(1, epoch(1, 0));
    let old = config(epoch(1, 0), 1);
    let cell = |term| LeaseCell { promise: epoch(term, 2), config: Some(old.clone()) };
    let prepare = |term| LeaseBody::Prepare { epoch: epoch(term, 2) };
    let promise = |term| LeaseBody::Promise { epoch: epoch(term, 2) };
    assert_eq!(node.hear(2, &old, prepare(2)), [Persist { token: 1, cell: cell(2) }]);
    assert_eq!(node.hear(2, &old, prepare(2)), []);
    assert_eq!(node.hear(2, &old, prepare(3)), [Persist { token: 2, cell: cell(3) }]);
    assert_eq!(node.input(LeaseInput::Durable { token: 1 }), [to(2, &old, promise(2))]);
    assert_eq!(node.input(LeaseInput::Durable { token: 2 }), [to(2, &old, promise(3))]);
}

/// It may have forgotten a grant; unless nobody but itself can have had one.
#[test]
fn a_restarted_voter_is_silent_unless_it_promised_itself() {
    let old = config(epoch(1, 0), 1);
    let cell = |promise| LeaseCell { promise, config: Some(old.clone()) };
    let prepare = LeaseBody::Prepare { epoch: epoch(5, 2) };
    let grant = LeaseBody::Grant { epoch: epoch(5, 2), seq: 1 };
    let promise = LeaseBody::Promise { epoch: epoch(5, 2) };

    let mut silent = Node::new(1, cell(epoch(2, 0)));
    silent.now = START + GRANT - Duration::from_micros(1);
    assert_eq!(silent.hear(2, &old, prepare.clone()), []);
    assert_eq!(silent.hear(2, &old, grant), []);
    silent.now += Duration::from_micros(1);
    assert_eq!(silent.answer(2, &old, prepare.clone()), [to(2, &old, promise.clone())]);

    let mut frank = Node::new(1, cell(epoch(2, 1)));
    assert_eq!(frank.answer(2, &old, prepare), [to(2, &old, promise)]);
}

/// One that was just added answers Prepare only after a lease's time, and grants at once to the epoch that
/// added it.
#[test]
fn an_added_voter_serves_the_epoch_that_added_it() {
    let mut node = Node::new(1, EMPTY);
    let first = config(epoch(2, 0), 2);
    let installed = LeaseBody::Installed { config: first.id };
    assert_eq!(node.answer(0, &first, LeaseBody::Install), [to(0, &first, installed)]);
    assert_eq!(node.answer(2, &first, LeaseBody::Prepare { epoch: epoch(3, 2) }), []);
    assert_eq!(node.answer(2, &first, LeaseBody::Grant { epoch: epoch(3, 2), seq: 1 }), []);
    let granted = LeaseBody::Granted { epoch: epoch(2, 0), seq: 4, config: first.id };
    assert_eq!(
        node.answer(0, &first, LeaseBody::Grant { epoch: epoch(2, 0), seq: 4 }),
        [to(0, &first, granted)]
    );
}

/// The greater config comes first, whatever else a message says; a message under an older one is answered
/// with it.
#[test]
fn the_greater_config_wins_before_anything_is_looked_at() {
    let mut node = Node::voter(1, epoch(1, 0));
    let newer = config(epoch(2, 0), 3);
    let cell = LeaseCell { promise: epoch(2, 0), config: Some(newer.clone()) };
    let rejected = LeaseBody::Reject { epoch: epoch(1, 2), highest: epoch(2, 0), wait_ms: 0 };
    // Its epoch is below the config's: the config is installed, and the question refused.
    assert_eq!(node.hear(2, &newer, LeaseBody::Prepare { epoch: epoch(1, 2) }), [Persist { token: 1, cell }]);
    assert_eq!(node.input(LeaseInput::Durable { token: 1 }), [to(2, &newer, rejected)]);
    let older = config(epoch(1, 0), 1);
    let outdated = LeaseBody::Reject { epoch: epoch(9, 2), highest: epoch(2, 0), wait_ms: 0 };
    assert_eq!(node.hear(2, &older, LeaseBody::Prepare { epoch: epoch(9, 2) }), [to(2, &newer, outdated)]);
    assert_eq!(node.lease.promise(), epoch(2, 0));
}

/// What is malformed, implausible, or of another T changes nothing and is not answered.
#[test]
fn nonsense_is_refused() {
    let old = config(epoch(1, 0), 1);
    let another_t =
        VoterConfig { times: LeaseTimes { lease_ms: 60_000, ..SETTINGS.times }, ..config(epoch(2, 0), 1) };
    let another_content = VoterConfig { voters: old.voters[..2].to_vec(), ..old.clone() };
    let unsorted =
        VoterConfig { voters: old.voters.iter().rev().copied().collect(), ..config(epoch(2, 0), 1) };
    let empty = VoterConfig { voters: Vec::new(), ..config(epoch(2, 0), 1) };
    let far = epoch(1_000_000_000, 2);
    let prepare = LeaseBody::Prepare { epoch: epoch(3, 2) };
    let cases = [
        (2, another_t.clone(), LeaseBody::Grant { epoch: epoch(2, 0), seq: 1 }),
        (2, another_t, prepare.clone()),
        (2, another_content, prepare.clone()),
        (2, unsorted, prepare.clone()),
        (2, empty, prepare.clone()),
        (2, config(far, 1), prepare.clone()),
        (2, old.clone(), LeaseBody::Prepare { epoch: far }),
        // For another, and about a vote that nobody asked for.
        (0, old.clone(), prepare),
        (2, old.clone(), LeaseBody::Promise { epoch: epoch(3, 1) }),
        (2, old.clone(), LeaseBody::Granted { epoch: epoch(3, 1), seq: 1, config: old.id }),
        (2, old.clone(), LeaseBody::Release { epoch: epoch(1, 0) }),
        (2, old.clone(), LeaseBody::Release { epoch: epoch(1, 0) }),
    ];
    for (from, config, body) in cases {
        let mut node = Node::voter(1, epoch(1, 0));
        assert_eq!(node.hear(from, &config, body.clone()), [], "{body:?}");
        assert_eq!((node.lease.promise(), node.lease.config()), (epoch(1, 0), Some(&old)), "{body:?}");
    }
}

/// A Grant that comes after the Release of its epoch binds nobody.
#[test]
fn an_ended_epoch_is_not_granted_again() {
    let mut node = Node::voter(1, epoch(1, 0));
    let old = config(epoch(1, 0), 1);
    node.answer(0, &old, LeaseBody::Grant { epoch: epoch(2, 0), seq: 1 });
    assert_eq!(node.hear(0, &old, LeaseBody::Release { epoch: epoch(2, 0) }), []);
    let rejected = LeaseBody::Reject { epoch: epoch(2, 0), highest: epoch(2, 0), wait_ms: 0 };
    let late = LeaseBody::Grant { epoch: epoch(2, 0), seq: 2 };
    assert_eq!(node.hear(0, &old, late), [to(0, &old, rejected)]);
    let promise = LeaseBody::Promise { epoch: epoch(3, 2) };
    assert_eq!(node.answer(2, &old, LeaseBody::Prepare { epoch: epoch(3, 2) }), [to(2, &old, promise)]);
}

fn hint(epoch: Epoch) -> Hint {
    Hint { epoch, renewal: 1, signatures: Vec::new() }
}

fn lost(why: Ending) -> Vec<LeaseOutput> {
    let own = config(epoch(2, 0), 1);
    let release = LeaseBody::Release { epoch: epoch(2, 0) };
    Vec::from([Lost { epoch: epoch(2, 0), why }, to(1, &own, release.clone()), to(2, &own, release)])
}

/// Only its owner can announce an epoch as held, and only a control member has one that counts.
#[test]
fn a_holder_steps_down_for_a_greater_one_that_announces_itself() {
    let later = hint(epoch(3, 1));
    let mut node = Node::holder();
    let relayed = LeaseInput::Hint { from: id(2), hint: later.clone(), from_control: true };
    assert_eq!(node.input(relayed), []);
    let by_worker = LeaseInput::Hint { from: id(1), hint: later.clone(), from_control: false };
    assert_eq!(node.input(by_worker), []);
    let far = LeaseInput::Hint { from: id(1), hint: hint(epoch(1_000_000_000, 1)), from_control: true };
    assert_eq!(node.input(far), []);
    let announced = LeaseInput::Hint { from: id(1), hint: later, from_control: true };
    let seen =
        [LeaseOutput::Announced { epoch: epoch(3, 1) }, LeaseOutput::HolderSeen { epoch: epoch(3, 1) }];
    assert_eq!(node.input(announced), [lost(Ending::Announced), Vec::from(seen)].concat());
    assert_eq!(node.lease.evidence(node.now), Evidence::Fresh(epoch(3, 1)));
}

/// A holder answers one who takes itself for a holder of a lesser epoch with its config, not at every frame.
#[test]
fn a_lesser_holder_is_told_the_greater_config() {
    let mut node = Node::holder();
    let own = config(epoch(2, 0), 1);
    let lesser = || LeaseInput::Hint { from: id(4), hint: hint(epoch(1, 4)), from_control: true };
    assert_eq!(node.input(lesser()), [to(4, &own, LeaseBody::Install)]);
    assert_eq!(node.input(lesser()), []);
}

#[test]
fn a_holder_steps_down_when_a_majority_rejects_it() {
    let mut node = Node::holder();
    let own = config(epoch(2, 0), 1);
    let reject = LeaseBody::Reject { epoch: epoch(2, 0), highest: epoch(3, 1), wait_ms: 0 };
    assert_eq!(node.hear(1, &own, reject.clone()), []);
    assert_eq!(node.hear(1, &own, reject.clone()), []);
    assert_eq!(node.hear(2, &own, reject), lost(Ending::Rejected));
}

/// Half of two is no majority, and without it there is none.
#[test]
fn a_holder_steps_down_when_the_other_of_two_rejects_it() {
    let mut node = Node::holder_among(2);
    let own = config_of(2, epoch(2, 0), 1);
    let reject = LeaseBody::Reject { epoch: epoch(2, 0), highest: epoch(3, 1), wait_ms: 0 };
    let told = [
        Lost { epoch: epoch(2, 0), why: Ending::Rejected },
        to(1, &own, LeaseBody::Release { epoch: epoch(2, 0) }),
    ];
    assert_eq!(node.hear(1, &own, reject), told);
}

#[test]
fn a_holder_that_lags_or_cannot_write_steps_down() {
    let cases = [
        (LeaseInput::Lagged(SECOND + Duration::from_micros(1)), Ending::Lagged),
        (LeaseInput::StorageStalled, Ending::StorageStalled),
        (LeaseInput::DurableFailed { token: 9 }, Ending::StorageFailed),
    ];
    for (input, why) in cases {
        let mut node = Node::holder();
        assert_eq!(node.input(LeaseInput::Lagged(SECOND)), []);
        assert_eq!(node.input(input), lost(why));
        assert_eq!(node.lease.holding(node.now), None);
    }
}

/// Whose disk failed says nothing any more, and asks for nothing.
#[test]
fn a_node_whose_disk_failed_is_mute() {
    let mut node = Node::voter(1, epoch(1, 0));
    let old = config(epoch(1, 0), 1);
    node.hear(2, &old, LeaseBody::Prepare { epoch: epoch(2, 2) });
    assert_eq!(node.input(LeaseInput::DurableFailed { token: 1 }), []);
    assert_eq!(node.input(LeaseInput::Durable { token: 1 }), []);
    assert_eq!(node.hear(2, &old, LeaseBody::Prepare { epoch: epoch(3, 2) }), []);
    assert_eq!(node.wait(SECOND * 100), []);
}

/// A poll changes nothing anywhere, and nobody who hears of a living holder says yes.
#[test]
fn a_poll_is_refused_while_a_holder_lives() {
    let mut node = Node::voter(1, epoch(1, 0));
    let old = config(epoch(1, 0), 1);
    let poll = LeaseBody::PreVote { epoch: epoch(5, 2) };
    let say = |yes| LeaseBody::PreVoteAnswer { epoch: epoch(5, 2), yes, highest: epoch(1, 0) };
    assert_eq!(node.hear(2, &old, poll.clone()), [to(2, &old, say(true))]);
    let seen = LeaseInput::Hint { from: id(2), hint: hint(epoch(2, 0)), from_control: true };
    assert_eq!(node.input(seen), [LeaseOutput::HolderSeen { epoch: epoch(2, 0) }]);
    assert_eq!(node.hear(2, &old, poll.clone()), [to(2, &old, say(false))]);
    // The holder itself, restarted, is not kept out by the news of its own last tenure.
    let again = LeaseBody::PreVote { epoch: epoch(5, 0) };
    let yes = LeaseBody::PreVoteAnswer { epoch: epoch(5, 0), yes: true, highest: epoch(1, 0) };
    assert_eq!(node.hear(0, &old, again), [to(0, &old, yes)]);
    node.now += GRANT + SETTINGS.gossip_round;
    assert_eq!(node.lease.evidence(node.now), Evidence::Stale(epoch(2, 0)));
    assert_eq!(node.hear(2, &old, poll), [to(2, &old, say(true))]);
    assert_eq!(node.lease.promise(), epoch(1, 0));
}

/// A holder that changes its voters while one does not answer must not count that one in.
#[test]
fn a_config_that_does_not_meet_the_last_is_never_written() {
    let mut node = Node::holder();
    let own = config(epoch(2, 0), 1);
    let grant = LeaseBody::Granted { epoch: epoch(2, 0), seq: 2, config: own.id };
    node.wait(Duration::from_millis(1_400));
    node.answer(1, &own, grant);
    let apart = Vec::from([Voter { node: id(0), weight: 9 }]);
    assert!(!node.lease.protocol.change(node.now, apart));
    let without_me = Vec::from([Voter { node: id(1), weight: 1 }, Voter { node: id(2), weight: 1 }]);
    assert!(!node.lease.protocol.change(node.now, without_me));
    let nobody = Vec::new();
    assert!(!node.lease.protocol.change(node.now, nobody));
    assert_eq!(node.lease.config(), Some(&own));
}

/// It hears of a generation whose terms are lesser than its own; cut off from that, it stands in its own
/// again.
#[test]
fn a_generation_of_lesser_terms_makes_no_epoch_come_twice() {
    let mut node = Node::voter(0, epoch(4, 0));
    let founded = Epoch { generation: 1, ..epoch(3, 2) };
    let hint = Hint { epoch: founded, renewal: 1, signatures: Vec::new() };
    node.lease.handle(node.now, LeaseInput::Hint { from: id(2), hint, from_control: true });
    for _ in 0..100 {
        node.now += SECOND / 4;
        node.lease.handle(node.now, LeaseInput::Tick);
        while let Some(output) = node.lease.poll_output() {
            if let Send { message: LeaseMessage { body: LeaseBody::PreVote { epoch: stands }, .. }, .. } =
                output
            {
                return assert_eq!(stands, epoch(5, 0));
            }
        }
    }
    panic!("it never stood");
}

/// A worker with the greater config of a generation is heard by nobody. It leads no more once it hears of
/// whoever does, and not again before that one is silent.
#[test]
fn a_worker_with_a_greater_config_gives_way() {
    let mut node = worker_alone(epoch(9, 0));
    for renewal in 1..=30 {
        node.announced(renewal);
        assert_eq!(node.lease.holding(node.now), None);
        node.wait(SECOND);
        assert_eq!(node.lease.holding(node.now), None);
    }
    node.wait(SECOND * 30);
    assert!(node.lease.holding(node.now).is_some(), "there is nobody else any more");
}

/// One that founded a later generation before it knew that it was a worker goes on, and tells the other.
#[test]
fn a_worker_of_a_later_generation_is_followed() {
    let founded = Epoch { generation: 1, ..epoch(9, 0) };
    let mut node = worker_alone(founded);
    let outputs = node.announced(1);
    assert!(node.lease.holding(node.now).is_some_and(|epoch| epoch.generation == 1));
    let told = outputs.iter().any(
        |output| matches!(output, Send { to, message } if *to == id(1) && message.config.id.epoch >= founded),
    );
    assert!(told, "{outputs:?}");
}

/// A slot was planned in a later epoch than the one that this node holds: it stands again, above that.
#[test]
fn a_holder_that_is_outdone_stands_again() {
    let mut node = worker_alone(epoch(9, 0));
    let mine = node.lease.holding(node.now).expect("there is nobody else");
    let later = Epoch { candidate: id(1), term: mine.term + 5, ..mine };
    assert!(node.lease.is_outdone(node.now, later) && !node.lease.is_outdone(node.now, mine));
    let outputs = node.input(LeaseInput::Planned { epoch: later });
    assert!(outputs.contains(&Lost { epoch: mine, why: Ending::Outdone }), "{outputs:?}");
    node.write(outputs);
    node.wait(SECOND);
    assert!(node.lease.holding(node.now).is_some_and(|epoch| epoch > later));
    // Of another line, with which only its holder can do away.
    let other = Epoch { generation: 1, ..later };
    let before = node.lease.holding(node.now);
    node.input(LeaseInput::Planned { epoch: other });
    assert_eq!(node.lease.holding(node.now), before);
}

/// A node that votes alone and leads, though it is no control node any more.
fn worker_alone(epoch: Epoch) -> Node {
    let alone = config_of(1, epoch, 1);
    let mut node = Node::new(0, LeaseCell { promise: epoch, config: Some(alone) });
    let control = BTreeSet::from([id(1)]);
    let electorate = Electorate { control, up: BTreeMap::new(), me_control: false };
    let outputs = node.input(LeaseInput::Electorate(electorate));
    node.write(outputs);
    node.wait(GRANT * 2);
    assert!(node.lease.holding(node.now).is_some(), "there is nobody else");
    node
}

impl Node {
    /// Another, which is a control node, says that it leads.
    fn announced(&mut self, renewal: u64) -> Vec<LeaseOutput> {
        let hint = Hint { epoch: epoch(7, 1), renewal, signatures: Vec::new() };
        let outputs = self.input(LeaseInput::Hint { from: id(1), hint, from_control: true });
        self.write(outputs.clone());
        outputs
    }
}
