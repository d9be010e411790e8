//! The laws, one file each: what must hold whatever goes wrong.
//!
//! A law sees what agents did ([`Law::see`]) and how the world stands after each event ([`Law::after`]) and
//! once a second ([`Law::look`]). It may restate a rule; it decides nothing.
//!
//! # Not here
//! What must hold once nothing goes wrong any more: see `liveness`.

pub mod acked_is_durable;
pub mod authorship;
pub mod bounded;
pub mod causal_wins;
pub mod control_plane_is_harmless;
pub mod epochs_rise;
pub mod fenced;
pub mod hands_off;
pub mod keeps_the_unread;
pub mod known_on_disk;
pub mod merge_is_a_semilattice;
pub mod no_resurrection;
pub mod one_attempt;
pub mod one_holder;
pub mod plan_is_a_function;
pub mod plans_on_what_is_known;
pub mod plans_under_its_lease;
pub mod quorum_evidence;
pub mod retired_by_name;
pub mod same_seed_same_trace;

use std::fmt;

use crate::world::{Observation, SECOND, Time, World};

/// What a law says of what it saw: nothing, or how it was broken.
pub type Verdict = Result<(), String>;

/// One law.
pub trait Law {
    /// Its name, as in `agent/ARCHITECTURE.md`.
    fn name(&self) -> &'static str;

    /// An agent did something.
    ///
    /// # Errors
    /// How that breaks the law.
    fn see(&mut self, _world: &World, _seen: &Observation) -> Verdict {
        Ok(())
    }

    /// Something happened at a host.
    ///
    /// # Errors
    /// How the law is broken now.
    fn after(&mut self, _world: &World, _host: usize) -> Verdict {
        Ok(())
    }

    /// A second has gone by.
    ///
    /// # Errors
    /// How the law is broken now.
    fn look(&mut self, _world: &World) -> Verdict {
        Ok(())
    }
}

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub law: &'static str,
    /// When.
    pub at: Time,
    /// Where it was noticed, from 0.
    pub host: usize,
    /// How.
    pub how: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { law, at, host, how } = self;
        write!(f, "{law}: at {:.6} s, node{}: {how}", *at as f64 / SECOND as f64, host + 1)
    }
}

/// All laws that watch a world.
pub struct Checks {
    laws: Vec<Box<dyn Law>>,
    look_at: Time,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            laws: vec![
                Box::<one_holder::OneHolder>::default(),
                Box::<epochs_rise::EpochsRise>::default(),
                Box::<quorum_evidence::QuorumEvidence>::default(),
                Box::<fenced::Fenced>::default(),
                Box::<merge_is_a_semilattice::Semilattice>::default(),
                Box::<authorship::Authorship>::default(),
                Box::<acked_is_durable::Acked>::default(),
                Box::<causal_wins::CausalWins>::default(),
                Box::<plan_is_a_function::PlanIsAFunction>::default(),
                Box::<plans_under_its_lease::UnderItsLease>::default(),
                Box::<plans_on_what_is_known::OnWhatIsKnown>::default(),
                Box::<one_attempt::OneAttempt>::default(),
                Box::<no_resurrection::NoResurrection>::default(),
                Box::<retired_by_name::RetiredByName>::default(),
                Box::<known_on_disk::KnownOnDisk>::default(),
                Box::<keeps_the_unread::KeepsTheUnread>::default(),
                Box::<hands_off::HandsOff>::default(),
                Box::<control_plane_is_harmless::Harmless>::default(),
                Box::<bounded::Bounded>::default(),
            ],
            look_at: 0,
        }
    }
}

impl Checks {
    /// Something happened at a host, and its agent did all this.
    ///
    /// # Errors
    /// The first law that is broken now.
    pub fn after(&mut self, world: &World, host: usize, seen: &[Observation]) -> Result<(), Violation> {
        let look = world.now >= self.look_at;
        if look {
            self.look_at = world.now + SECOND;
        }
        for law in &mut self.laws {
            let mut verdict = seen.iter().try_for_each(|seen| law.see(world, seen));
            verdict = verdict.and_then(|()| law.after(world, host));
            if look {
                verdict = verdict.and_then(|()| law.look(world));
            }
            verdict.map_err(|how| Violation { law: law.name(), at: world.now, host, how })?;
        }
        Ok(())
    }
}
