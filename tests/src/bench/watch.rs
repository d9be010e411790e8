//! Which containers there are, and which of them run, as the engines tell by themselves.
//!
//! Asking an engine again and again costs it what is to be measured. It sends events anyway.
//!
//! # Invariants
//! - What an engine had told before it was watched does not count: a watch begins on engines without
//!   containers that matter.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::hosts::Host;

/// Containers by id: the name of the host, and whether it runs.
type Known = BTreeMap<String, (String, bool)>;

/// Engines that are being watched.
#[derive(Debug, Default)]
pub struct Watch {
    known: Arc<Mutex<Known>>,
    streams: BTreeMap<String, (UnixStream, JoinHandle<()>)>,
}

impl Watch {
    /// Watches these hosts.
    pub fn on<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Result<Self> {
        let mut watch = Self::default();
        hosts.into_iter().try_for_each(|host| watch.add(host))?;
        Ok(watch)
    }

    /// Watches one more.
    pub fn add(&mut self, host: &Host) -> Result<()> {
        let stream = host.engine().events()?;
        let (name, known) = (host.name().to_owned(), Arc::clone(&self.known));
        let own = stream.try_clone().map_err(|error| Error::new(error.to_string()))?;
        let reader = thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(std::io::Result::ok) {
                take(&mut lock(&known), &name, &line);
            }
        });
        self.streams.insert(host.name().to_owned(), (own, reader));
        Ok(())
    }

    /// The host has lost its power, and all of its containers with it.
    pub fn lose(&mut self, host: &Host) {
        self.forget(host.name());
        lock(&self.known).retain(|_, (on, _)| on != host.name());
    }

    /// How many run.
    pub fn running(&self) -> usize {
        lock(&self.known).values().filter(|(_, runs)| *runs).count()
    }

    /// How many run on a host.
    pub fn running_on(&self, host: &Host) -> usize {
        lock(&self.known).values().filter(|(on, runs)| *runs && on == host.name()).count()
    }

    /// How many there are, running or not.
    pub fn known(&self) -> usize {
        lock(&self.known).len()
    }

    fn forget(&mut self, host: &str) {
        if let Some((stream, reader)) = self.streams.remove(host) {
            // It may have ended with its engine.
            let _ended_already = stream.shutdown(Shutdown::Both);
            if reader.join().is_err() {
                eprintln!("the watch of {host} has panicked");
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let hosts: Vec<String> = self.streams.keys().cloned().collect();
        hosts.iter().for_each(|host| self.forget(host));
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one line of an engine's stream of events; what is not of a container's life passes.
fn take(known: &mut Known, host: &str, line: &str) {
    let Ok(event) = serde_json::from_str::<Value>(line) else { return };
    let (Some("container"), Some(id)) = (event["Type"].as_str(), event["Actor"]["ID"].as_str()) else {
        return;
    };
    let (id, host) = (id.to_owned(), host.to_owned());
    match event["Action"].as_str() {
        Some("create") => drop(known.insert(id, (host, false))),
        Some("start") => drop(known.insert(id, (host, true))),
        Some("die") => {
            if let Some((_, runs)) = known.get_mut(&id) {
                *runs = false;
            }
        }
        Some("destroy") => drop(known.remove(&id)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_life_is_followed_and_other_lines_pass() {
        let event = |kind, action, id| {
            format!(r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{}}}}}}"#)
        };
        let mut known = Known::new();
        let mut told = Vec::new();
        for (kind, action, id) in [
            ("container", "create", "a"),
            ("container", "start", "a"),
            ("network", "destroy", "a"),
            ("container", "start", "b"),
            ("container", "die", "a"),
            ("container", "die", "unknown"),
            ("container", "destroy", "a"),
        ] {
            take(&mut known, "node1", &event(kind, action, id));
            told.push((known.len(), known.values().filter(|(_, runs)| *runs).count()));
        }
        take(&mut known, "node1", "HTTP/1.0 200 OK\r");
        assert_eq!(told, [(1, 0), (1, 1), (1, 1), (2, 2), (2, 1), (2, 1), (1, 1)]);
        assert_eq!(known, Known::from([("b".to_owned(), ("node1".to_owned(), true))]));
    }
}
