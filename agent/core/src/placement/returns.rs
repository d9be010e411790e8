//! Work moves back to where there is little: one task a service at a time, and start-first.

use alloc::vec::Vec;
use core::cmp::Reverse;

use sleep_wire::RevisionId;
use sleep_wire::slot::{Cause, Choice, RetireReason, Retired};
use sleep_wire::spec::Order;

use super::RETURNS_AFTER;
use super::pass::Pass;
use super::plan::Why;
use super::seek::Tally;
use crate::rollout::seat::{Seat, Standing, sooner};

/// From where to where.
struct Way {
    from: usize,
    to: u32,
    choice: Choice,
}

impl<'a> Pass<'a> {
    /// Lets one task return, if its service is out of balance, nothing else moves, and the cluster's budget
    /// allows.
    pub(crate) fn rebalance(&mut self, seats: &mut [Seat<'a>], paused: bool) {
        let still = |seat: &Seat<'_>| {
            let settled = match seat.standing {
                Standing::Vacant | Standing::Done | Standing::Healthy | Standing::Failing => true,
                Standing::Starting | Standing::Away | Standing::Lost(_) => false,
            };
            settled
                && !(seat.retiring && seat.is_active())
                && seat.leave.is_none()
                && (paused || !seat.outdated)
        };
        if self.service.fact.singleton || self.tally.peak() < 2 || !seats.iter().all(still) {
            return;
        }
        let Some(way) = self.across(seats, paused).or_else(|| self.within(seats, paused)) else { return };
        if self.returns.left == 0 {
            self.look.restless = true;
            if let Some(at) = self.returns.more_at {
                sooner(&mut self.look.wake, at);
            }
            return;
        }
        self.returns.left -= 1;
        let seat = &mut seats[way.from];
        let Some(current) = seat.current() else { return };
        let cause = Cause::Rebalanced(current.node);
        let revision = self.revision_for(seat, paused);
        let new = self.book(way.to, revision, cause.clone(), way.choice);
        let mut retire = seat.retire.clone();
        let (assignment, node) = (current.assignment, current.node);
        retire.push(Retired { assignment, node, reason: RetireReason::Moved });
        seat.acted = true;
        let fence = seat.fact.slot.fence.saturating_add(1);
        self.write(seat.name, new, Order::StartFirst, fence, retire, Why::Assigned(cause));
    }

    /// From the domain that has the most to one that has at least two fewer.
    fn across(&mut self, seats: &[Seat<'_>], paused: bool) -> Option<Way> {
        let domains = self.fleet.pool(self.spec.pool).domains.len();
        let most = (0..domains).map(|domain| self.tally.in_domain(domain)).max()?;
        if domains < 2 || most < 2 {
            return None;
        }
        let from = self.newest_in(seats, |tally, domain| tally.in_domain(domain) == most)?;
        let mut others: Vec<usize> =
            (0..domains).filter(|domain| self.tally.in_domain(*domain) + 2 <= most).collect();
        others.sort_by_key(|domain| (self.tally.in_domain(*domain), self.domain_hash(*domain)));
        let revision = self.revision_for(&seats[from], paused);
        let found = others.into_iter().find_map(|domain| self.best_returning(domain, u32::MAX, revision));
        self.look.restless |= found.is_none();
        found.map(|(to, choice)| Way { from, to, choice })
    }

    /// From the node of a domain that has the most to one of the same domain that has at least two fewer.
    fn within(&mut self, seats: &[Seat<'_>], paused: bool) -> Option<Way> {
        let pool = self.fleet.pool(self.spec.pool);
        let on = |domain: usize| pool.domains[domain].nodes.iter().map(|place| self.tally.on_node(*place));
        let mut domains: Vec<(u32, usize)> = (0..pool.domains.len())
            .filter(|domain| self.tally.in_domain(*domain) >= 2)
            .map(|domain| (on(domain).max().unwrap_or(0), domain))
            .filter(|(most, domain)| on(*domain).any(|few| few + 2 <= *most))
            .collect();
        domains.sort_by_key(|(most, domain)| (Reverse(*most), self.domain_hash(*domain)));
        let unbalanced = !domains.is_empty();
        for (_, domain) in domains {
            let Some(from) = self.newest_in(seats, |_, other| other == domain) else { continue };
            let most = seats[from].place.map_or(0, |place| self.tally.on_node(place));
            let revision = self.revision_for(&seats[from], paused);
            let found = most.checked_sub(2).and_then(|few| self.best_returning(domain, few, revision));
            if let Some((to, choice)) = found {
                return Some(Way { from, to, choice });
            }
        }
        self.look.restless |= unbalanced;
        None
    }

    fn domain_hash(&self, domain: usize) -> u64 {
        super::hash::mix(self.service.seed, self.fleet.pool(self.spec.pool).domains[domain].seed)
    }

    /// The newest healthy task on the most crowded node of some domains.
    fn newest_in(&self, seats: &[Seat<'_>], is_meant: impl Fn(&Tally, usize) -> bool) -> Option<usize> {
        let pool = self.fleet.pool(self.spec.pool);
        let rank = |at: usize| {
            let seat = &seats[at];
            let place = seat.place?;
            let domain = pool.domain_of(place)?;
            let counts = seat.standing == Standing::Healthy && is_meant(self.tally, domain);
            let newest = seat.current()?.assignment;
            counts.then(|| (self.tally.on_node(place), newest, at))
        };
        (0..seats.len()).filter_map(rank).max().map(|(_, _, at)| at)
    }

    /// The best node of a domain that has at most so many of the service, and to which work may return.
    fn best_returning(&self, domain: usize, at_most: u32, revision: RevisionId) -> Option<(u32, Choice)> {
        let seek = self.searcher(self.want(revision, None));
        let nodes = self.fleet.pool(self.spec.pool).domains[domain].nodes.iter().copied();
        let returning = nodes.filter(|place| self.tally.on_node(*place) <= at_most && self.is_ready(*place));
        seek.best_of(returning).map(|(place, _, choice)| (place, choice))
    }

    /// Whether a node has been up for long enough, or was made active by a command since.
    fn is_ready(&self, place: u32) -> bool {
        let entry = self.fleet.entry(place);
        let activated = entry.fact.as_ref().and_then(|node| node.activated);
        entry.up_since().is_some_and(|since| {
            since + RETURNS_AFTER <= self.now || activated.is_some_and(|activated| activated >= since)
        })
    }
}
