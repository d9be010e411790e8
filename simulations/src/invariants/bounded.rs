//! What an agent does at one moment is bounded: it comes to rest before time goes on.
//!
//! An input whose outputs ask for a wake-up at once, and so on without end, would stop a real agent's world
//! no less than this one.

use super::{Law, Verdict};
use crate::world::{Time, World};

/// The law's name: the world itself says so when the core notices.
pub const NAME: &str = "bounded";

/// The most that may happen at one host at one moment: answers of a large cluster may fall together.
const MOST: u32 = 20_000;

/// How much happened at the present moment, by host.
#[derive(Default)]
pub struct Bounded {
    at: Time,
    count: Vec<u32>,
}

impl Law for Bounded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn after(&mut self, world: &World, host: usize) -> Verdict {
        if self.at != world.now {
            self.at = world.now;
            self.count.clear();
        }
        self.count.resize(world.hosts.len(), 0);
        self.count[host] += 1;
        if self.count[host] > MOST {
            return Err(format!("more than {MOST} things happened at one moment"));
        }
        Ok(())
    }
}
