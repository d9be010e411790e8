//! Whether a record is valid: a pure function of the record and the membership set.

use alloc::collections::BTreeMap;

use sleep_wire::key::{MembershipKey, ObservedKey};
use sleep_wire::stamp::Clock;
use sleep_wire::trust::{
    Admission, OperatorAdmission, OperatorRemoval, Removal, Role, RoleChange, Warrant, entry_claim,
};
use sleep_wire::{ClusterId, Family, Key, NodeId, PublicKey, Record, Stamp, Wire, decode};

use super::Trust;
use super::ledger::{Entry, Fact, Moment};
use crate::clock;
use crate::crypto::Crypto;
use crate::mutant::{Mutant, is_sown};

/// What a record is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its author might write it, and did.
    Valid,
    /// Its author wrote it, and was or seemed to be control before, but was not then: others are to say it
    /// again.
    Void,
    /// It is refused, for a reason in this room's vocabulary. More membership records can change that.
    Invalid(&'static str),
    /// Nothing is known of its author yet.
    UnknownAuthor,
}

/// The only version of keys' bodies that this release reads.
const VERSION: u16 = 1;

/// A membership record, read.
pub(super) struct Claim {
    pub(super) entry: Entry,
    /// The key that it brings along.
    pub(super) introduces: Option<(NodeId, PublicKey)>,
}

/// Why there is no claim in a record.
pub(super) enum NoClaim {
    /// It is not of this family, or of a later release: nothing follows from it.
    Unread,
    /// It is wrong, for everybody and for ever.
    Wrong(&'static str),
}

/// What a record's author must have been.
enum Need {
    /// Control at that moment.
    Control(Moment),
    /// Control, or an operator, at that moment.
    Author(Moment),
    /// Control at some time, and never removed.
    EverControl,
    /// A member that was never removed.
    Member,
    /// What the ledger says of this entry.
    Ledger(Entry),
}

impl Trust {
    /// What a record is worth, by the membership set as it is.
    pub fn judge(&self, record: &Record, crypto: &dyn Crypto) -> Verdict {
        let (need, key) = match self.need(record, crypto) {
            Ok(need) => need,
            Err(verdict) => return verdict,
        };
        let Some(key) = key else { return Verdict::UnknownAuthor };
        let author = record.author;
        let signed = || crypto.verify(&key, &record.signed_bytes(&self.cluster), &record.signature);
        let standing = self.standing(author);
        let member = standing.filter(|standing| standing.removed.is_none());
        let allowed = match need {
            Need::Control(moment) => self.ledger.role_at(author, moment) == Some(Role::Control),
            Need::Author(moment) => {
                self.ledger.role_at(author, moment) == Some(Role::Control)
                    || self.ledger.operator_at(author, moment)
            }
            Need::EverControl => member.is_some_and(|standing| standing.ever_control),
            Need::Member => member.is_some(),
            Need::Ledger(entry) => self.ledger.counts(&entry),
        };
        if !(allowed || is_sown(Mutant::AnyRole) && self.ledger.is_known(author)) {
            let genesis = matches!(need, Need::Ledger(Entry { fact: Fact::Genesis, .. }));
            let known = self.ledger.is_known(author) || genesis;
            return match known {
                true if self.is_late(author, &need) && signed() => Verdict::Void,
                true => Verdict::Invalid("role"),
                false => Verdict::UnknownAuthor,
            };
        }
        if !signed() && !is_sown(Mutant::AnySignature) {
            return Verdict::Invalid("signature");
        }
        Verdict::Valid
    }

    /// Whether somebody said what people wanted, or let somebody in, after the power to do so was taken away.
    /// Not so if its key is in other hands, nor if it is an operator's: one that was removed may be.
    fn is_late(&self, author: NodeId, need: &Need) -> bool {
        let moment = match need {
            Need::Author(moment)
            | Need::Ledger(Entry {
                moment, fact: Fact::Admission { .. } | Fact::Role(Role::Control), ..
            }) => *moment,
            Need::Ledger(_) | Need::Control(_) | Need::EverControl | Need::Member => return false,
        };
        self.ledger.was_said_to_have_control(author, moment) && !self.is_stolen(author)
    }

    /// What the author must have been, and its key if it is known.
    fn need(&self, record: &Record, crypto: &dyn Crypto) -> Result<(Need, Option<PublicKey>), Verdict> {
        let key = check_shape(record)?;
        let mut public = self.keys.get(&record.author).copied();
        let bytes = &record.key;
        let need = match (Family::of(bytes), record.stamp) {
            (Some(Family::Membership), Stamp::Time { time, node }) => {
                match read_membership(&self.cluster, record, crypto) {
                    Ok(claim) => {
                        public = claim.author_key(&self.keys);
                        Need::Ledger(claim.entry)
                    }
                    Err(NoClaim::Unread) => Need::Control((time, node)),
                    Err(NoClaim::Wrong(why)) => return Err(Verdict::Invalid(why)),
                }
            }
            (Some(Family::Desired), Stamp::Time { time, node }) => Need::Author((time, node)),
            (Some(Family::Island), Stamp::Time { time, node }) => {
                own(bytes.ends_with(&record.author.0))?;
                Need::Control((time, node))
            }
            (Some(Family::Slot), Stamp::Lease { epoch, .. }) => {
                own(epoch.candidate == record.author)?;
                Need::EverControl
            }
            (Some(Family::Observed), Stamp::Boot { .. }) => {
                let node = key.map_or_else(|| ObservedKey::node_of_unread(bytes), |key| node_of(&key));
                own(node == Some(record.author))?;
                Need::Member
            }
            (None, Stamp::Time { time, node }) => Need::Control((time, node)),
            (None, Stamp::Lease { .. } | Stamp::Boot { .. }) => Need::EverControl,
            (Some(_), _) => return Err(Verdict::Invalid("stamp")),
        };
        // Only an operator's record is stamped by somebody else's clock: that of the node that took the
        // command.
        if let Stamp::Time { node, .. } = record.stamp
            && node != record.author
            && !matches!(need, Need::Author(moment) if self.ledger.operator_at(record.author, moment))
        {
            return Err(if public.is_some() { Verdict::Invalid("stamp") } else { Verdict::UnknownAuthor });
        }
        Ok((need, public))
    }
}

/// What is wrong with a record whoever wrote it. Returns its key if this release can read it.
fn check_shape(record: &Record) -> Result<Option<Key>, Verdict> {
    if record.key.len() > Key::LIMIT || record.body.len() > Record::BODY_LIMIT || record.version == 0 {
        return Err(Verdict::Invalid("shape"));
    }
    if let Stamp::Time { time, .. } = record.stamp
        && !clock::valid(time)
    {
        return Err(Verdict::Invalid("stamp"));
    }
    if Family::of(&record.key).is_some_and(|family| family.clock() != record.stamp.clock()) {
        return Err(Verdict::Invalid("stamp"));
    }
    // A key of a known family that cannot be read is a later release's.
    Ok(Key::from_bytes(&record.key).ok().flatten())
}

const fn own(is_own: bool) -> Result<(), Verdict> {
    if is_own { Ok(()) } else { Err(Verdict::Invalid("key space")) }
}

const fn node_of(key: &Key) -> Option<NodeId> {
    match key {
        Key::Observed(key) => Some(key.node()),
        Key::Membership(_) | Key::Desired(_) | Key::Slot(_) | Key::Island(_) => None,
    }
}

impl Claim {
    /// The key that the record should be signed with.
    pub(super) fn author_key(&self, keys: &BTreeMap<NodeId, PublicKey>) -> Option<PublicKey> {
        match self.entry.fact {
            Fact::Genesis => self.introduces.map(|(_, key)| key),
            Fact::Admission { .. }
            | Fact::Role(_)
            | Fact::Removal { .. }
            | Fact::Operator
            | Fact::OperatorRemoval => keys.get(&self.entry.author).copied(),
        }
    }
}

/// Reads a membership record: all that is right or wrong about it whatever else is known, but for its
/// signature.
pub(super) fn read_membership(
    cluster: &ClusterId,
    record: &Record,
    crypto: &dyn Crypto,
) -> Result<Claim, NoClaim> {
    let wrong = |why| Err(NoClaim::Wrong(why));
    let Ok(Some(Key::Membership(key))) = Key::from_bytes(&record.key) else { return Err(NoClaim::Unread) };
    let Stamp::Time { time, node } = record.stamp else { return wrong("stamp") };
    if record.version != VERSION {
        return Err(NoClaim::Unread);
    }
    if !clock::valid(time) || node != record.author || record.stamp.clock() != Clock::Time {
        return wrong("stamp");
    }
    if pen_entry(record, crypto) != entry_of(&key) {
        return wrong("entry");
    }
    let mut introduces = None;
    let fact = match key {
        MembershipKey::Admission { node, .. } => {
            let body: Admission = read(record)?;
            introduces = Some((node, body.key));
            admission(cluster, record, &body, crypto).map_err(NoClaim::Wrong)?
        }
        MembershipKey::Role { .. } => Fact::Role(read::<RoleChange>(record)?.role),
        MembershipKey::Removal { .. } => Fact::Removal { compromised: read::<Removal>(record)?.compromised },
        MembershipKey::Operator { operator, .. } => {
            introduces = Some((operator, read::<OperatorAdmission>(record)?.key));
            Fact::Operator
        }
        MembershipKey::OperatorRemoval { .. } => {
            read::<OperatorRemoval>(record)?;
            Fact::OperatorRemoval
        }
    };
    if introduces.is_some_and(|(node, key)| crypto.node_id(&key) != node) {
        return wrong("key");
    }
    Ok(Claim { entry: Entry { moment: (time, node), key, author: record.author, fact }, introduces })
}

fn read<T: Wire>(record: &Record) -> Result<T, NoClaim> {
    decode(&record.body).map_err(|_| NoClaim::Wrong("body"))
}

fn admission(
    cluster: &ClusterId,
    record: &Record,
    body: &Admission,
    crypto: &dyn Crypto,
) -> Result<Fact, &'static str> {
    match &body.warrant {
        Warrant::Genesis { nonce } => {
            let founds = crypto.hash(&Warrant::genesis_claim(&body.key, nonce)).0 == cluster.0;
            let by_itself = crypto.node_id(&body.key) == record.author && body.role == Role::Control;
            if founds && by_itself { Ok(Fact::Genesis) } else { Err("genesis") }
        }
        Warrant::Token { token, key, signature } => {
            let claim = Warrant::token_claim(cluster, token, &body.key);
            let warranted = crypto.token_id(key) == *token && crypto.verify(key, &claim, signature);
            if warranted { Ok(Fact::Admission { role: body.role, token: *token }) } else { Err("warrant") }
        }
    }
}

/// The entry that a membership record's key must name.
fn pen_entry(record: &Record, crypto: &dyn Crypto) -> [u8; 8] {
    entry(&record.author, &record.stamp, &record.body, crypto)
}

/// See [`entry_claim`].
pub(super) fn entry(author: &NodeId, stamp: &Stamp, body: &[u8], crypto: &dyn Crypto) -> [u8; 8] {
    let digest = crypto.hash(&entry_claim(author, stamp, body));
    let [a, b, c, d, e, f, g, h, ..] = digest.0;
    [a, b, c, d, e, f, g, h]
}

const fn entry_of(key: &MembershipKey) -> [u8; 8] {
    match key {
        MembershipKey::Admission { entry, .. }
        | MembershipKey::Role { entry, .. }
        | MembershipKey::Removal { entry, .. }
        | MembershipKey::Operator { entry, .. }
        | MembershipKey::OperatorRemoval { entry, .. } => *entry,
    }
}
