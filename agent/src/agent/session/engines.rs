//! What the engines tell: whose they are, and what people are told of them.

use sleep_core::io::Input;
use sleep_wire::engine::{EngineError, EngineReport};
use sleep_wire::spec::Runtime;
use tracing::{debug, info, warn};

use super::{SHARED_ENGINE, Session};
use crate::config::RUN_DIR;
use crate::{lock, logs};

impl Session {
    /// One agent an engine: a second one finds its engine ill until the first is gone, however well that
    /// engine answers.
    pub(super) fn on_report(&mut self, report: EngineReport) {
        self.tell_of_engine(&report);
        let report = match (report, self.foreign.take()) {
            (EngineReport::Well { runtime: Runtime::Docker, engine, version }, _) => {
                let report = self.claim(engine, version);
                if self.foreign.is_some() {
                    warn!("the container engine is not ours: another agent has it");
                }
                report
            }
            (EngineReport::Listed { runtime: Runtime::Docker, found, images }, Some((engine, version))) => {
                let runtime = Runtime::Docker;
                match self.claim(engine, version) {
                    EngineReport::Ill { runtime, error } => EngineReport::ListFailed { runtime, error },
                    ours => {
                        self.input(Input::Engine(ours));
                        EngineReport::Listed { runtime, found, images }
                    }
                }
            }
            (other, foreign) => {
                self.foreign = foreign;
                other
            }
        };
        self.input(Input::Engine(report));
    }

    /// Says once that the container engine does not answer, and once that it does again.
    fn tell_of_engine(&mut self, report: &EngineReport) {
        let host = || sleep_drivers::docker::host(self.config.docker_host.as_deref());
        match report {
            EngineReport::Ill { runtime: Runtime::Docker, error } if !self.engine_ill => {
                let error = logs::in_words(error);
                warn!("the container engine at {}: {error}; it is tried again and again", host());
                self.engine_ill = true;
            }
            EngineReport::Well { runtime: Runtime::Docker, version, .. } if self.engine_ill => {
                info!(version, "the container engine at {} answers", host());
                self.engine_ill = false;
            }
            _ => {}
        }
    }

    fn claim(&mut self, engine: String, version: String) -> EngineReport {
        let runtime = Runtime::Docker;
        let mine = self.engine.as_ref().is_some_and(|(known, _)| *known == engine);
        if mine || std::env::var_os(SHARED_ENGINE).is_some() {
            return EngineReport::Well { runtime, engine, version };
        }
        match lock::engine(RUN_DIR.as_ref(), &engine) {
            Ok(lock) => {
                self.engine = Some((engine.clone(), lock));
                EngineReport::Well { runtime, engine, version }
            }
            Err(error) => {
                debug!(%error, "the container engine");
                self.foreign = Some((engine, version));
                EngineReport::Ill { runtime, error: EngineError::Other { message: error.to_string() } }
            }
        }
    }
}
