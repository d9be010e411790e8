//! Whose vote counts next: one step from the present voters towards those that there should be.
//!
//! A pure function of the config, the electorate and the holder. It proposes; whether a step is safe is for
//! [`super::protocol`] to say (every quorum of the one config meets every quorum of the next), and this
//! room's tests show that it only ever proposes such steps.
//!
//! ```text
//! {A:1} ──▶ {A:2,B:1,C:1} ──▶ {A:1,B:1,C:1} ──▶ {A:2,B:1,C:1} ──▶ {A:1}       three control nodes, then two
//! {A,B,c} ──▶ {A:2,B,c} ──▶ {A:2,B,D} ──▶ {A,B,D}       c is dead: D takes its seat
//! {A,B,C} ──▶ {A,B,C,D} ──▶ {A,B,D}                     C lives, and goes: removed after
//! {A} ──▶ {A:2,B} ── B leads ──▶ {A,B} ──▶ {B}          A goes, which voted alone
//! {A:2,B} ──▶ {A:2,B,C} ──▶ {A,B,C}                     A stays after all
//! ```
//! On the way from a dead voter to its successor the holder has two votes, so that it is part of every quorum
//! and nobody else is indispensable who was not before. By way of {A,B}, or of four, the loss of B in that
//! moment could not be made good, not even by the return of c, which might only have been slow.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use sleep_wire::NodeId;
use sleep_wire::lease::Voter;

use super::config::quorums_meet;

/// What a holder knows of those who may vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roll {
    /// The holder.
    pub(super) me: NodeId,
    /// Whether the holder itself is about to leave.
    pub(super) departing: bool,
    /// Control nodes that are not removed and do not want to leave.
    pub(super) eligible: BTreeSet<NodeId>,
    /// Who answers.
    pub(super) up: BTreeSet<NodeId>,
    /// Who has answered for long enough to be given a seat.
    pub(super) ready: BTreeSet<NodeId>,
}

impl Roll {
    fn is_up(&self, node: NodeId) -> bool {
        node == self.me || self.up.contains(&node)
    }

    /// Whether those who answer are a majority of these voters: else they might be the last there ever are.
    /// The lease may rest on one that is not believed to answer, and only one that is gone be left beside it.
    fn is_answered_by(&self, voters: &[Voter]) -> bool {
        outweigh(voters, |node| self.is_up(node))
    }

    /// Whether this is somebody else, who is to stay and answers.
    pub(super) fn is_heir(&self, node: NodeId) -> bool {
        node != self.me && self.eligible.contains(&node) && self.up.contains(&node)
    }

    fn has_heir(&self, voters: &[Voter]) -> bool {
        voters.iter().any(|voter| self.is_heir(voter.node))
    }

    /// Whether the holder has more than half of the votes.
    fn is_majority(&self, voters: &[Voter]) -> bool {
        outweigh(voters, |node| node == self.me)
    }

    /// How many seats there should be: one for one or two control nodes, three from three on.
    fn seats(&self) -> usize {
        if self.eligible.len() >= 3 { 3 } else { 1 }
    }

    /// Who should have a seat. The holder first, then those who have one and live, then newcomers, then the
    /// dead who have one: a dead voter does less harm than a missing one if nobody can take its place.
    fn goal(&self, voters: &[Voter]) -> BTreeSet<NodeId> {
        let seated = |node: &NodeId| voters.iter().any(|voter| voter.node == *node);
        let living = self.eligible.iter().filter(|node| seated(node) && self.is_up(**node));
        let fresh = self.eligible.iter().filter(|node| !seated(node) && self.ready.contains(node));
        let dead = self.eligible.iter().filter(|node| seated(node) && !self.is_up(**node));
        let mut goal = BTreeSet::from([self.me]);
        for node in living.chain(fresh).chain(dead) {
            if goal.len() < self.seats() {
                goal.insert(*node);
            }
        }
        // One alone grows to three at once, or not at all: two voters are worse than one.
        if voters.len() == 1 && goal.len() < 3 { BTreeSet::from([self.me]) } else { goal }
    }
}

/// Whether some of these voters have more than half of the votes.
fn outweigh(voters: &[Voter], of: impl Fn(NodeId) -> bool) -> bool {
    let weight = |counts: &dyn Fn(&&Voter) -> bool| -> u32 {
        voters.iter().filter(counts).map(|voter| u32::from(voter.weight)).sum()
    };
    weight(&|voter| of(voter.node)) * 2 > weight(&|_| true)
}

/// The next voters, if they should not stay as they are.
pub(super) fn next(voters: &[Voter], roll: &Roll) -> Option<Vec<Voter>> {
    let proposed = match roll.departing {
        true if roll.has_heir(voters) => None,
        true if roll.is_majority(voters) => successor(roll),
        _ => towards(voters, &roll.goal(voters), roll),
    }?;
    let may = proposed != voters && quorums_meet(voters, &proposed) && roll.is_answered_by(&proposed);
    may.then_some(proposed)
}

/// One that leaves, and is a majority alone, needs one to hand over to. It keeps two votes until then: should
/// the heir not answer after all, it names another.
fn successor(roll: &Roll) -> Option<Vec<Voter>> {
    let may =
        |set: &BTreeSet<NodeId>| roll.eligible.iter().copied().find(|n| *n != roll.me && set.contains(n));
    let heir = may(&roll.ready).or_else(|| may(&roll.up))?;
    Some(weighted(&BTreeSet::from([roll.me, heir]), roll.me))
}

fn towards(voters: &[Voter], goal: &BTreeSet<NodeId>, roll: &Roll) -> Option<Vec<Voter>> {
    let me = roll.me;
    let mut nodes: BTreeSet<NodeId> = voters.iter().map(|voter| voter.node).collect();
    let surplus = |up: bool| {
        let mut leaving = voters.iter().map(|voter| voter.node).filter(|node| !goal.contains(node));
        leaving.find(|node| roll.is_up(*node) == up)
    };
    if nodes.len() == 1 {
        return (goal.len() > 1).then(|| weighted(goal, me));
    }
    let is_heavy = |voter: &Voter| voter.weight > 1;
    let is_heavy_myself = voters.iter().any(|voter| voter.node == me && is_heavy(voter));
    if nodes.len() == 2 && voters.iter().any(|voter| is_heavy(voter) && voter.node != me) {
        // Whoever it takes over from is a majority alone.
        return Some(equal(nodes));
    }
    if goal.len() == 1 && nodes.len() <= 3 {
        // Alone it is no quorum of three; with two votes it is part of every one.
        let heavy = nodes.len() == 2 || is_heavy_myself;
        return Some(if heavy { equal(BTreeSet::from([me])) } else { weighted(&nodes, me) });
    }
    let missing = goal.iter().copied().find(|node| !nodes.contains(node));
    if let (Some(dead), Some(heir), 3) = (surplus(false), missing, nodes.len()) {
        return Some(match voters.iter().find(|voter| is_heavy(voter)) {
            None => weighted(&nodes, me),
            Some(heavy) if heavy.node == me => {
                nodes.remove(&dead);
                nodes.insert(heir);
                weighted(&nodes, me)
            }
            Some(_) => equal(nodes),
        });
    }
    // Of two that are equal each needs the other: whoever is to go stays until a third can take its seat.
    let would_be_two = goal.len() == 2 && nodes.len() == 3;
    if let Some(dead) = surplus(false).filter(|_| !would_be_two) {
        nodes.remove(&dead);
    } else if let Some(living) = surplus(true).filter(|_| nodes.len() > 3) {
        // One at a time: of five it would take three to agree.
        nodes.remove(&living);
    } else if let Some(missing) = missing {
        nodes.insert(missing);
        if is_heavy_myself && nodes.len() == 3 {
            return Some(weighted(&nodes, me));
        }
    } else if let Some(living) = surplus(true).filter(|_| !would_be_two) {
        nodes.remove(&living);
    } else if is_heavy_myself && nodes.len() == 2 {
        // Better one that needs nobody, again.
        return None;
    }
    Some(equal(nodes))
}

fn equal(nodes: BTreeSet<NodeId>) -> Vec<Voter> {
    nodes.into_iter().map(|node| Voter { node, weight: 1 }).collect()
}

fn weighted(nodes: &BTreeSet<NodeId>, me: NodeId) -> Vec<Voter> {
    nodes.iter().map(|node| Voter { node: *node, weight: if *node == me { 2 } else { 1 } }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn id(node: u8) -> NodeId {
        NodeId([node; 16])
    }

    fn nodes(bits: u8) -> BTreeSet<NodeId> {
        (0..7).filter(|node| bits >> node & 1 == 1).map(id).collect()
    }

    /// What one holder makes of its voters, as long as nothing else changes.
    fn settle(voters: &mut Vec<Voter>, roll: &Roll) -> Vec<Vec<Voter>> {
        let mut steps = Vec::new();
        while let Some(step) = next(voters, roll) {
            assert!(quorums_meet(voters, &step), "{voters:?} {step:?}");
            assert!(roll.is_answered_by(&step), "nobody may be left to change {step:?}");
            assert!(step.iter().any(|voter| voter.node == roll.me), "it removes itself: {step:?}");
            assert!(step.len() <= 4 && steps.len() < 12, "{steps:?} {step:?}");
            voters.clone_from(&step);
            steps.push(step);
        }
        steps
    }

    proptest! {
        /// Whatever the electorate, every step is a safe one, and they end at the voters that there should
        /// be: one, or three if there are three to be had, the living first, all of equal weight. They stop
        /// where those who answer would be no majority.
        #[test]
        fn steps_are_safe_and_end(
            eras in prop::collection::vec((0u8..128, 0u8..128, 0u8..128, 0usize..4), 1..6)
        ) {
            let mut voters = equal(nodes(1));
            let mut me = id(0);
            for (control, up, ready, successor) in eras {
                let up = nodes(up);
                let eligible: BTreeSet<NodeId> = nodes(control).into_iter().chain([me]).collect();
                let ready = nodes(ready).intersection(&up).copied().collect();
                let roll = Roll { me, departing: false, eligible, up, ready };
                settle(&mut voters, &roll);
                let further = towards(&voters, &roll.goal(&voters), &roll);
                if further.is_some_and(|step| step != voters && !roll.is_answered_by(&step)) {
                    me = voters[successor % voters.len()].node;
                    continue;
                }
                let seated: BTreeSet<NodeId> = voters.iter().map(|voter| voter.node).collect();
                let goal = roll.goal(&voters);
                let waits = goal.len() == 2 && seated.len() == 3 && seated.is_superset(&goal);
                prop_assert!(seated == goal || waits);
                prop_assert!(voters.len() == 2 || voters.iter().all(|voter| voter.weight == 1));
                let living = roll.ready.intersection(&roll.eligible).filter(|node| **node != me).count();
                if roll.eligible.len() >= 3 && living >= 2 {
                    prop_assert_eq!(seated.len(), 3);
                }
                me = voters[successor % voters.len()].node;
            }
        }
    }

    /// Two that leave are replaced one after the other.
    #[test]
    fn there_are_never_five_voters() {
        let mut voters = equal(nodes(0b00111));
        let (up, ready) = (nodes(0b11110), nodes(0b11110));
        let roll = Roll { me: id(0), departing: false, eligible: nodes(0b11001), up, ready };
        let expected = [0b01111, 0b01101, 0b11101, 0b11001].map(|bits| equal(nodes(bits)));
        assert_eq!(settle(&mut voters, &roll), expected);
    }

    /// The lease rests on one that is believed to be down for a while yet; the third is gone.
    #[test]
    fn nobody_is_left_alone_with_the_dead() {
        let mut voters = equal(nodes(0b00111));
        let (up, ready) = (nodes(0b01000), nodes(0b01000));
        let roll = Roll { me: id(0), departing: false, eligible: nodes(0b01111), up, ready };
        assert_eq!(settle(&mut voters, &roll), Vec::<Vec<Voter>>::new());
        let roll = Roll { up: nodes(0b01100), ..roll };
        let heavy = |bits| weighted(&nodes(bits), id(0));
        assert_eq!(settle(&mut voters, &roll), [heavy(0b00111), heavy(0b01101), equal(nodes(0b01101))]);
    }

    /// It was to go and had an heir, and stays after all: it needs no other's vote until there are three.
    #[test]
    fn of_two_neither_comes_to_need_the_other() {
        let mut voters = weighted(&nodes(0b00011), id(0));
        let roll = Roll {
            me: id(0),
            departing: false,
            eligible: nodes(0b00111),
            up: nodes(0b00110),
            ready: nodes(0b00010),
        };
        assert_eq!(settle(&mut voters, &roll), Vec::<Vec<Voter>>::new());
        let roll = Roll { ready: nodes(0b00110), ..roll };
        assert_eq!(settle(&mut voters, &roll), [weighted(&nodes(0b00111), id(0)), equal(nodes(0b00111))]);
    }

    /// One of three was demoted, and those who could have its seat have just come back: it keeps that till
    /// then.
    #[test]
    fn of_three_two_do_not_remain() {
        let mut voters = equal(nodes(0b00111));
        let (up, ready) = (nodes(0b01110), nodes(0b00100));
        let roll = Roll { me: id(0), departing: false, eligible: nodes(0b01101), up, ready };
        assert_eq!(settle(&mut voters, &roll), Vec::<Vec<Voter>>::new());
        let roll = Roll { ready: nodes(0b01100), ..roll };
        assert_eq!(settle(&mut voters, &roll), [equal(nodes(0b01111)), equal(nodes(0b01101))]);
    }

    /// While a dead voter's seat is given to another, no loss of one more, but the holder's, is worse than it
    /// was: those left, or those left and the dead one once it is back, are a majority.
    #[test]
    fn a_successor_is_seated_without_a_moment_of_danger() {
        let mut voters = equal(nodes(0b0111));
        let up = nodes(0b1010);
        let roll = Roll { me: id(0), departing: false, eligible: nodes(0b1111), ready: up.clone(), up };
        for step in settle(&mut voters, &roll) {
            let weight = |of: u8| -> u32 {
                let counted = step.iter().filter(|voter| nodes(of).contains(&voter.node));
                counted.map(|voter| u32::from(voter.weight)).sum()
            };
            assert!(weight(0b1101) * 2 > weight(0b1111), "without the other, {step:?}");
            assert!(weight(0b0111) * 2 > weight(0b1111), "without the successor, {step:?}");
        }
        assert_eq!(voters, equal(nodes(0b1011)));
    }

    /// Another holder took over on the way: it goes back to votes of equal weight first.
    #[test]
    fn a_holder_without_the_two_votes_evens_them_first() {
        let mut voters = weighted(&nodes(0b0111), id(1));
        let up = nodes(0b1010);
        let roll = Roll { me: id(0), departing: false, eligible: nodes(0b1111), ready: up.clone(), up };
        let heavy = |bits| weighted(&nodes(bits), id(0));
        let expected = [equal(nodes(0b0111)), heavy(0b0111), heavy(0b1011), equal(nodes(0b1011))];
        assert_eq!(settle(&mut voters, &roll), expected);
    }

    proptest! {
        /// Whoever leads and is to go ends with one beside it that stays and answers, if there is one that
        /// has answered for long enough, whoever voted before.
        #[test]
        fn one_that_goes_finds_an_heir(
            (votes, control, up) in (0u8..128, 0u8..128, 0u8..128), heavy in prop::option::of(0usize..4)
        ) {
            let seated = nodes(votes).into_iter().filter(|node| *node != id(0)).take(2);
            let mut voters = equal(seated.chain([id(0)]).collect());
            if let Some(heavy) = heavy {
                let at = heavy % voters.len();
                voters[at].weight = 2;
            }
            let mut eligible = nodes(control);
            eligible.remove(&id(0));
            let up: BTreeSet<NodeId> = nodes(up).into_iter().chain(voters.iter().map(|v| v.node)).collect();
            let roll = Roll { me: id(0), departing: true, eligible, ready: up.clone(), up };
            settle(&mut voters, &roll);
            let there_is = roll.eligible.iter().any(|node| roll.up.contains(node));
            prop_assert_eq!(roll.has_heir(&voters), there_is, "{:?}", voters);
        }
    }

    /// One that leaves as the only voter makes one other a voter, and then waits for it to take over.
    #[test]
    fn a_lone_voter_that_leaves_names_an_heir() {
        let mut voters = equal(nodes(0b1));
        let (up, ready) = (nodes(0b1110), nodes(0b1000));
        let roll = Roll { me: id(0), departing: true, eligible: nodes(0b1110), up, ready };
        assert_eq!(settle(&mut voters, &roll), [weighted(&nodes(0b1001), id(0))]);
    }
}
