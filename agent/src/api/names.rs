//! Names and beginnings of ids, as people type them, to ids; and back.

use sleep_core::Now;
use sleep_wire::api::{Code, Problem};
use sleep_wire::{NodeId, ServiceId, TokenId};

use super::Failure;
use crate::agent::Core;

/// The shortest beginning of an id that is taken for one.
const MIN_PREFIX: usize = 4;

/// The most names that an error proposes.
const MAX_CANDIDATES: usize = 3;

/// A node's name, or its id if it has none.
pub(super) fn of_node(core: &Core, now: Now, id: NodeId) -> String {
    core.node_name(now, id).unwrap_or_else(|| id.to_string())
}

/// A service's name, or its id if it has none.
pub(super) fn of_service(core: &Core, now: Now, id: ServiceId) -> String {
    core.service_name(now, id).unwrap_or_else(|| id.to_string())
}

/// The node that somebody means.
pub(super) fn node(core: &Core, now: Now, text: &str) -> Result<NodeId, Failure> {
    if core.cluster().is_none() {
        return Err(super::problem::not_clustered().into());
    }
    let known = core.nodes(now).into_iter().map(|row| (row.name, row.id.to_string(), row.id)).collect();
    resolve(text, known, Code::NoSuchNode, "node")
}

/// The service that somebody means.
pub(super) fn service(core: &Core, now: Now, text: &str) -> Result<ServiceId, Failure> {
    if core.cluster().is_none() {
        return Err(super::problem::not_clustered().into());
    }
    let known = core.services(now).into_iter().map(|row| (row.name, row.id.to_string(), row.id)).collect();
    resolve(text, known, Code::NoSuchService, "service")
}

/// The node that somebody means: also one that was removed, by its whole id.
pub(super) fn any_node(core: &Core, now: Now, text: &str) -> Result<NodeId, Failure> {
    node(core, now, text).or_else(|missing| text.parse().map_err(|_| missing))
}

/// The service that somebody means: also one that was removed, by its whole id.
pub(super) fn any_service(core: &Core, now: Now, text: &str) -> Result<ServiceId, Failure> {
    service(core, now, text).or_else(|missing| text.parse().map_err(|_| missing))
}

/// The operator that somebody means. Several may have one name: then it takes an id.
pub(super) fn operator(core: &Core, text: &str) -> Result<NodeId, Failure> {
    if core.cluster().is_none() {
        return Err(super::problem::not_clustered().into());
    }
    let rows = core.operators();
    let mut named = rows.iter().filter(|row| row.name == text);
    if let (Some(_), Some(_)) = (named.next(), named.next()) {
        let ids = rows.iter().filter(|row| row.name == text).map(|row| row.id.to_string()).collect();
        let title = format!("several operators are called `{text}`");
        return Err(Problem::new(Code::Ambiguous, 409, title).candidates(ids).into());
    }
    let known = rows.into_iter().map(|row| (row.name, row.id.to_string(), row.id)).collect();
    resolve(text, known, Code::NoSuchOperator, "operator")
}

/// The join token that has this id, or the only one whose id begins like that.
pub(super) fn token(core: &Core, now: Now, text: &str) -> Result<TokenId, Failure> {
    let known = core.tokens(now).into_iter().map(|row| (row.id.to_string(), row.id.to_string(), row.id));
    resolve(text, known.collect(), Code::NoSuchToken, "join token")
}

fn resolve<T: Copy>(
    text: &str,
    known: Vec<(String, String, T)>,
    missing: Code,
    kind: &str,
) -> Result<T, Failure> {
    if let Some((_, _, id)) = known.iter().find(|(name, id, _)| name == text || id == text) {
        return Ok(*id);
    }
    let begins: Vec<_> = if text.len() >= MIN_PREFIX {
        known.iter().filter(|(_, id, _)| id.starts_with(text)).collect()
    } else {
        Vec::new()
    };
    match begins.as_slice() {
        [(_, _, id)] => Ok(*id),
        [] => {
            let shown: String = text.chars().take(64).collect::<String>().escape_debug().to_string();
            let names = known.iter().map(|(name, _, _)| name.as_str());
            Err(Problem::new(missing, 404, format!("no {kind} `{shown}`"))
                .candidates(nearest(text, names))
                .into())
        }
        several => {
            let names = several.iter().map(|(name, _, _)| name.clone()).collect();
            let title = format!("several {kind}s have an id that begins with `{text}`");
            Err(Problem::new(Code::Ambiguous, 409, title).candidates(names).into())
        }
    }
}

/// The names that somebody may have meant, nearest first. They end up in lines that are pasted: names that
/// differ in a digit are different things, not slips of a finger, and so are two short words.
pub(super) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    let may_be_meant = |name: &&str| name.len() > 2 && digits(name) == digits(text);
    let begins: String = text.chars().take(64).collect();
    let mut near: Vec<(usize, &str)> = names
        .filter(may_be_meant)
        .map(|name| (strsim::osa_distance(&begins, name), name))
        .filter(|(distance, name)| *distance <= 1.max(name.len() / 3))
        .collect();
    near.sort_unstable();
    near.into_iter().take(MAX_CANDIDATES).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed() {
        let names = ["sleep-app", "web", "cache"];
        assert_eq!(nearest("sleep-ap", names.into_iter()), ["sleep-app"]);
        assert_eq!(nearest("wbe", names.into_iter()), ["web"]);
        assert_eq!(nearest("database", names.into_iter()), Vec::<String>::new());
        let others = ["node1", "node2", "i1"];
        assert_eq!(nearest("node9", others.into_iter()), Vec::<String>::new());
        assert_eq!(nearest("c1", others.into_iter()), Vec::<String>::new());
        assert_eq!(nearest("noed2", others.into_iter()), ["node2"]);
    }
}
