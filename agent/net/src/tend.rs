//! Once a second: who is silent, who must not fall idle, who moved.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use crate::link::Health;
use crate::shared::Shared;

const PERIOD: Duration = Duration::from_secs(1);

/// Looks after connections until the network is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut closing = shared.closing.subscribe();
    let mut ticks = interval(PERIOD.min(shared.limits.suspect_after / 3));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = ticks.tick() => tend(&shared),
        }
    }
}

fn tend(shared: &Arc<Shared>) {
    let mut book = shared.book();
    let mut wanted = Vec::new();
    let mut links = Vec::new();
    for (id, peer) in &book.peers {
        let Some(link) = peer.link() else {
            if peer.keep {
                wanted.push(*id);
            }
            continue;
        };
        match link.feel() {
            // It may have restarted, or moved to where its packets do not find back: another connection
            // will tell.
            Health::Silent(since) if since >= shared.limits.suspect_after => wanted.push(*id),
            Health::Idle(since) if peer.keep && since >= shared.limits.keep_alive => {
                // An empty datagram means nothing, and wants an acknowledgement.
                drop(link.connection.send_datagram(Bytes::new()));
            }
            Health::Well | Health::Idle(_) | Health::Silent(_) => {}
        }
        links.push(link);
    }
    for id in wanted {
        shared.dial(&mut book, id);
    }
    drop(book);
    for link in links {
        shared.heard(&link);
    }
}
