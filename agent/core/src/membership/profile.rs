//! The numbers of this room. A simulator may vary them; all members of a cluster use the same.

use core::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Times that depend on the network between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// One member is probed in each period; what did not answer by its end is suspected.
    pub probe_period: Duration,
    /// How long a direct answer may take before others are asked to try.
    pub probe_rtt: Duration,
    /// How often news are sent to a few random members while there are any.
    pub gossip_every: Duration,
}

impl Profile {
    /// Members of one site.
    pub const LAN: Self = Self { probe_period: ms(500), probe_rtt: ms(200), gossip_every: ms(200) };

    /// Members of several sites.
    pub const WAN: Self = Self { probe_period: ms(2000), probe_rtt: ms(700), gossip_every: ms(500) };

    /// How long a suspected member has to contradict, in a cluster of `members`, once `confirmed` of `wanted`
    /// others have confirmed the suspicion. Lifeguard's shape (Dadgar et al. 2018): the first confirmation
    /// counts most. Where nobody else is left to confirm, there is nothing to wait for.
    pub fn suspicion(&self, members: usize, confirmed: usize, wanted: usize) -> Duration {
        /// 256 · log(confirmed + 1) ⁄ log(wanted + 1)
        const SHARE: [[u32; 4]; WITNESSES + 1] =
            [[256, 256, 256, 256], [0, 256, 256, 256], [0, 161, 256, 256], [0, 128, 203, 256]];
        let doublings = members.max(1).ilog2().saturating_sub(3);
        let least = self.probe_period * 3 + self.probe_period / 4 * doublings;
        let share = SHARE[wanted.min(WITNESSES)][confirmed.min(WITNESSES)];
        least + least * (SUSPICION_STRETCH - 1) * (256 - share) / 256
    }

    /// How long the answers to "probe this one now" are waited for.
    pub fn confirm_wait(&self) -> Duration {
        self.probe_rtt * 8
    }
}

/// How many members are asked to try when a direct probe fails, and how many hear news at a time.
pub const FANOUT: usize = 3;

/// How soon the first news after a silence go out: only so late that what belongs together goes together.
pub const NEWS_AFTER: Duration = ms(20);

/// How many confirmations make a suspicion as short as it gets.
pub const WITNESSES: usize = 3;

/// How much longer a suspicion lasts that nobody confirms.
pub const SUSPICION_STRETCH: u32 = 4;

/// How often a suspected member is told so, until it contradicts or its time is over.
pub const TELL_EVERY: Duration = ms(200);

/// For how long a member that did not answer this node's own probe, and was not heard since, is called dead
/// on one other's word: as long as a suspicion may last.
pub const SILENT_FOR: Duration = Duration::from_secs(10);

/// How often a member is probed at most because others call it dead. No suspicion is as short.
pub const RUMOUR_EVERY: Duration = Duration::from_secs(1);

/// How often a member is asked when it is to be probed now.
pub const PING_TRIES: u8 = 3;

/// The most members that are being probed now on somebody's request.
pub const PINGS: usize = 64;

/// Live members that are asked before work moves.
pub const CONFIRM_ASKED: usize = 3;

/// How often a random pair compares rosters.
pub const DIGEST_EVERY: Duration = Duration::from_secs(60);

/// How soon a roster that did not come is asked for again, from somebody else.
pub const ROSTER_RETRY: Duration = Duration::from_secs(2);

/// How often one member is sent a whole roster at most.
pub const ROSTER_EVERY: Duration = Duration::from_secs(1);

/// Members of one roster message.
pub const ROSTER_CHUNK: usize = 4096;

/// Members heard of before their admission came: the most that are remembered.
pub const HEARSAY: usize = 16_384;

/// How soon a member that is down is sought first, and how rarely in the end (in small clusters).
pub const REACH_FIRST: Duration = ms(500);
/// See [`REACH_FIRST`].
pub const REACH_LAST: Duration = Duration::from_secs(5);

/// For how long the tasks of a node that announced to be back are held.
pub const RESTART_HOLD: Duration = Duration::from_secs(60);
/// The longest hold that anybody may ask for.
pub const RESTART_HOLD_MAX: Duration = Duration::from_secs(600);

/// A member that went down within this time of coming back flaps.
pub const FLAP_WINDOW: Duration = Duration::from_secs(600);

/// For how long a member must stay up before it is believed again: at its first return, its second, and so
/// on.
pub const FLAP_HOLDS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(25), Duration::from_secs(45)];

/// For how long a member that came back is not believed that others are dead or suspect.
pub const BACK_FOR: Duration = Duration::from_secs(10);

/// A member contradicts its own death at most this often, whoever spreads it: 65,535 contradictions last for
/// a boot, and then a start begins the next.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);

/// For how long after its start a node asks those it meets for its boot counter, and how many it asks.
pub const BOOT_QUERIES_FOR: Duration = Duration::from_secs(30);
/// See [`BOOT_QUERIES_FOR`].
pub const BOOT_QUERIES: usize = 5;
/// So many members, if there are, have to say that this node's disk is old, or its key another's too, before
/// it believes it; so many that another is dead whom it has not missed three times itself; and so many that
/// another has a new identity, if it is not heard itself.
pub const TELLERS: usize = 2;
/// So often must a member ask under a lesser boot than it has shown, and for so long, before it is believed
/// that nobody else knows of the later one. It asks rarer each time: the fifth time after a quarter of a
/// minute.
pub const IN_VAIN: u32 = 5;
/// See [`IN_VAIN`].
pub const IN_VAIN_FOR: Duration = Duration::from_secs(10);

/// So many contradictions of a member may have been missed: whoever tells of more lies, and would use them
/// up.
pub const INCARNATIONS_UNSEEN: u16 = 16;

/// A member that contradicted so many suspicions within [`CONTEST_WINDOW`] is contested for
/// [`CONTESTED_FOR`].
pub const CONTESTS: u16 = 5;
/// See [`CONTESTS`].
pub const CONTEST_WINDOW: Duration = Duration::from_secs(20);
/// See [`CONTESTS`].
pub const CONTESTED_FOR: Duration = Duration::from_secs(30);

/// How often a member is pinged that is tried, and another beside it.
pub const TRIAL_PINGS: u32 = 32;
/// And how soon after each other.
pub const TRIAL_EVERY: Duration = ms(200);
/// Of so many answers and less a member is unfit: a third does not come from one that loses four packets of
/// five, not even in one direction only (one trial of nine lets it go); and a member that loses three of ten
/// each way fails one trial of seventy, if the other is well.
pub const UNFIT: u32 = 9;
/// Of less answers of the other the network is bad, and nobody's fault.
pub const WELL: u32 = 24;
/// The most members that are tried at a time.
pub const TRIALS: usize = 16;

/// So many starts may an old disk have missed: whoever claims more lies, and would use the counter up.
pub const BOOTS_UNSEEN: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Confirmations shorten a suspicion, the first one most; size lengthens it.
    #[test]
    fn suspicion_shrinks_with_confirmations() {
        let lan = Profile::LAN;
        let spans = [0, 1, 2, 3].map(|confirmed| lan.suspicion(8, confirmed, 3).as_millis());
        assert_eq!(spans, [6000, 3750, 2431, 1500]);
        assert_eq!(lan.suspicion(2, 0, 0), ms(1500));
        assert_eq!(lan.suspicion(3, 0, 1), ms(6000));
        assert_eq!([32, 1000].map(|n| lan.suspicion(n, 3, 3).as_millis()), [1750, 2250]);
    }
}
