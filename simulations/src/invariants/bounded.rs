//! What an agent does at one moment is bounded: it comes to rest before time goes on. So is what it does in
//! ten seconds: nodes that tell each other the same for ever would fill a real network.
//!
//! An input whose outputs ask for a wake-up at once, and so on without end, would stop a real agent's world
//! no less than this one.

use super::{Law, Verdict};
use crate::world::{SECOND, Time, World};

/// The law's name: the world itself says so when the core notices.
pub const NAME: &str = "bounded";

/// The most that may happen at one host at one moment: answers of a large cluster may fall together.
const MOST: u32 = 20_000;

/// How long a span is.
const SPAN: Time = 10 * SECOND;

/// The most that may happen at one host in such a span, whoever talks to it, and for each host that may.
const MOST_A_SPAN: (u32, u32) = (1_000, 200);

/// How much happened, by host: at the present moment, and in the present span.
#[derive(Default)]
pub struct Bounded {
    at: Time,
    count: Vec<u32>,
    span: Time,
    in_span: Vec<u32>,
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
        if self.span != world.now / SPAN {
            self.span = world.now / SPAN;
            self.in_span.clear();
        }
        self.in_span.resize(world.hosts.len(), 0);
        self.in_span[host] += 1;
        let (any, each) = MOST_A_SPAN;
        let most = any + each * u32::try_from(world.hosts.len()).unwrap_or(u32::MAX / each);
        if self.in_span[host] > most {
            return Err(format!("more than {most} things happened within ten seconds"));
        }
        Ok(())
    }
}
