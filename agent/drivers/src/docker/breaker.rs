//! Whether an engine is worth asking.
//!
//! ```text
//!          TRIP failures in a row               it answers a probe
//! Closed ────────────────────────▶ Open ──────────────────────────▶ Closed
//! ```
//! Only silence counts: an answer, even a refusal, shows that somebody is there.

use sleep_wire::engine::EngineError;

/// So many calls in a row without an answer, and no more are made.
const TRIP: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(crate) enum Breaker {
    /// Calls are made.
    Closed {
        /// How many in a row went unanswered.
        unanswered: u32,
    },
    /// Calls are refused with what the last one met.
    Open(EngineError),
}

impl Breaker {
    /// Whether calls may be made.
    pub(crate) fn ready(&self) -> Result<(), EngineError> {
        match self {
            Self::Closed { .. } => Ok(()),
            Self::Open(error) => Err(error.clone()),
        }
    }

    /// Notes what came of a call; `true` if that was the last one for now.
    pub(crate) fn note<T>(&mut self, outcome: &Result<T, EngineError>) -> bool {
        let Self::Closed { unanswered } = self else { return false };
        match outcome {
            Err(error) if is_silence(error) => {
                *unanswered += 1;
                let trips = *unanswered >= TRIP;
                if trips {
                    *self = Self::Open(error.clone());
                }
                trips
            }
            Ok(_) | Err(_) => {
                *unanswered = 0;
                false
            }
        }
    }
}

/// Whether an error is no answer at all.
const fn is_silence(error: &EngineError) -> bool {
    match error {
        EngineError::TimedOut { .. } | EngineError::Unreachable { .. } => true,
        EngineError::NoSuchImage { .. }
        | EngineError::PortTaken { .. }
        | EngineError::NameTaken { .. }
        | EngineError::NoSuchContainer
        | EngineError::Cancelled
        | EngineError::BadCommand { .. }
        | EngineError::Other { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: EngineError = EngineError::TimedOut { call: "list" };

    #[test]
    fn silence_in_a_row_opens_it_and_any_answer_begins_anew() {
        let mut breaker = Breaker::Closed { unanswered: 0 };
        let noted: Vec<bool> = [
            Err(SILENCE),
            Err(SILENCE),
            Err(EngineError::NoSuchContainer),
            Err(SILENCE),
            Ok(()),
            Err(SILENCE),
        ]
        .iter()
        .chain(&[Err(SILENCE), Err(SILENCE), Err(SILENCE)])
        .map(|outcome| breaker.note(outcome))
        .collect();
        assert_eq!(noted, [false, false, false, false, false, false, false, true, false]);
        assert_eq!(breaker.ready(), Err(SILENCE));
    }
}
