//! What went wrong, in words: what happened, whether anything changed, and one line to type next.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use sleep_wire::api::{Code, Problem, Progress, Refusal, ServiceProgress};

use super::{field, progress, time};
use crate::args::Cli;
use crate::args::habit::{self, Instead};
use crate::client::ssh::address;
use crate::error::Error;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();

/// Filters that refuse for what other tasks have.
const ROOM: [&str; 4] = ["memory", "cpu", "port", "max-per-node"];

/// How many letters of a flag a slip of the fingers gets wrong.
const MAX_SLIPS: usize = 2;

/// The most nodes whose reasons are told.
const MAX_REASONS: usize = 12;

/// The error of a command that was to change something, or only to look; `words` are what was typed after the
/// program's name.
pub fn render(error: &Error, changes: bool, words: &[String]) -> String {
    let said = said(error, changes, words);
    if said.what.is_empty() {
        return String::new();
    }
    let mut text = format!("{ERROR}error:{ERROR:#} {}", said.what);
    for line in &said.more {
        write!(text, "\n{line}").expect("a string takes what is written to it");
    }
    if let Some(hint) = said.hint {
        write!(text, "\n\n{BOLD}hint:{BOLD:#} {hint}").expect("a string takes what is written to it");
    }
    text
}

/// What clap says of what was typed, and what to type instead: as in another program's words, if those are
/// known, or how to ask for help.
pub fn usage(error: &clap::Error, words: &[String]) -> String {
    let said = error.render().ansi().to_string();
    let said = said.split("\n\nFor more information").next().unwrap_or_default();
    let is_unknown = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
    let (text, hint) = match habit::instead(words).filter(|_| is_unknown) {
        Some(Instead { line, why }) => {
            // The nearest of our words is not what was meant.
            let what = said.lines().next().unwrap_or_default();
            let hint = if line.is_empty() { help(words) } else { format!("sleepctl {}", joined(&line)) };
            (if why.is_empty() { what.to_owned() } else { format!("{what}\n{why}") }, hint)
        }
        None if is_far_fetched(error) => (said.lines().next().unwrap_or_default().to_owned(), help(words)),
        None => (said.to_owned(), help(words)),
    };
    format!("{text}\n\n{BOLD}hint:{BOLD:#} {hint}")
}

/// Whether clap's nearest flag is too unlike what was typed to have been meant.
fn is_far_fetched(error: &clap::Error) -> bool {
    let (Some(ContextValue::String(typed)), Some(ContextValue::String(nearest))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::SuggestedArg))
    else {
        return false;
    };
    are_unlike(typed.split('=').next().unwrap_or_default(), nearest)
}

/// Whether more than slips of the fingers lie between two flags.
fn are_unlike(typed: &str, nearest: &str) -> bool {
    strsim::osa_distance(typed, nearest) > MAX_SLIPS.max(typed.len() / 4)
}

struct Said {
    what: String,
    more: Vec<String>,
    hint: Option<String>,
}

impl Said {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), more: Vec::new(), hint: None }
    }

    fn more(mut self, line: impl Into<String>) -> Self {
        self.more.push(line.into());
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn said(error: &Error, changes: bool, words: &[String]) -> Said {
    match error {
        Error::Usage(problem) => Said::new(problem).hint(help(words)),
        Error::Unreachable { hosts, why, forbidden } => unreachable(hosts, why, forbidden.as_deref()),
        Error::Refused(problem) => refused(problem, changes, words),
        Error::Lost { host, why } => {
            let host = if host.is_empty() { String::new() } else { format!(" at {host}") };
            let said = Said::new(format!("the agent{host} went away before it had answered: {why}"));
            if changes {
                said.more("it may or may not have been changed").hint("sleepctl cluster status")
            } else {
                said
            }
        }
        Error::Nonsense(what) => {
            Said::new(format!("the agent's answer makes no sense to this release: {what}"))
                .hint("sleepctl version")
        }
        Error::Key { path, problem } => key(path, problem),
        Error::TimedOut { after, progress, watch } => timed_out(*after, progress, watch),
        Error::Partly(error) => {
            let said = said(error, false, words).more("part of it was changed");
            if said.hint.is_some() { said } else { said.hint("sleepctl cluster status") }
        }
        Error::Stuck(progress) => stuck(progress),
        Error::Failed { what, lines, hint } => {
            let mut said = Said::new(what);
            said.more.extend(lines.iter().cloned());
            if hint.is_empty() { said } else { said.hint(hint) }
        }
        Error::Interrupted { watch } if watch.is_empty() => Said::new("interrupted: nothing is left behind"),
        Error::Interrupted { watch } => {
            Said::new("interrupted: the work goes on without being watched").hint(watch)
        }
        Error::Unconfirmed(danger) if danger.is_empty() => Said::new("not confirmed: nothing changed"),
        Error::Unconfirmed(danger) => {
            Said::new("this wants to be confirmed, and there is no terminal to ask on")
                .more(danger)
                .more("nothing changed")
                .hint(format!("sleepctl {} -y", joined(words)))
        }
        Error::Unread | Error::Stopped => Said::new(""),
        Error::Internal(problem) => Said::new(problem),
    }
}

fn unreachable(hosts: &[String], why: &str, forbidden: Option<&str>) -> Said {
    let one = hosts.first().map(String::as_str).unwrap_or_default();
    let said = match (hosts, forbidden) {
        ([_], Some(_)) => Said::new(format!("{one} may not be opened by this user: {why}")),
        ([_], None) => Said::new(format!("no agent answers at {one}: {why}")),
        (_, None) => Said::new(format!("no agent answers: {why}")),
        (_, Some(forbidden)) => Said::new(format!("no agent answers: {why}"))
            .more(format!("{forbidden} may not be opened by this user")),
    };
    if forbidden.is_some() {
        return said
            .more("whoever may open it owns the cluster; it belongs to the group `sleepd`")
            .hint("sudo usermod -aG sleepd \"$USER\"  # then log in anew");
    }
    if let Some(host) = one.strip_prefix("quic://") {
        let other = ["-H".to_owned(), format!("ssh://{}", without_port(host))];
        return said.hint(format!("sleepctl {} cluster status", joined(&other)));
    }
    if let Some(host) = one.strip_prefix("ssh://") {
        let target = host.split('/').next().unwrap_or(host);
        return said.hint(format!("ssh {} systemctl status sleepd", joined(&address(target))));
    }
    said.hint("systemctl status sleepd  # without systemd: run `sleepd`; only to try it: `sleepctl dev`")
}

/// `HOST[:PORT]` without the port; colons in brackets, or several, are an IPv6 address's own.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, _)) if name.ends_with(']') || !name.contains(':') => name,
        Some(_) | None => host,
    }
}

fn key(path: &Path, problem: &str) -> Said {
    let said = Said::new(format!("the operator key {} cannot be used: {problem}", path.display()));
    match (path.exists(), problem.starts_with("others may read it")) {
        (true, true) => said.hint(format!("chmod 600 {}", path.display())),
        (true, false) => said,
        (false, _) => said
            .more("an agent's own host needs no key; there, make one and copy it here")
            .hint("sleepctl operator create \"$USER\""),
    }
}

fn refused(problem: &Problem, changes: bool, words: &[String]) -> Said {
    let mut said = Said::new(field::typed(problem));
    if !problem.detail.is_empty() {
        said.more.push(problem.detail.clone());
    }
    match (problem.changed, changes) {
        (true, _) => said.more.push("part of it was changed".to_owned()),
        (false, true) => said.more.push("nothing changed".to_owned()),
        (false, false) => {}
    }
    if let Some(corrected) = corrected(problem, words) {
        return said.hint(corrected);
    }
    if !problem.candidates.is_empty() {
        said.more.push(format!("it may be one of {}", problem.candidates.join(", ")));
    }
    match advice(problem.code, words) {
        Some(hint) => said.hint(hint),
        None => said,
    }
}

/// What to type after a refusal.
fn advice(code: Code, words: &[String]) -> Option<String> {
    let advice = match code {
        Code::NotClustered => "sleepctl cluster init",
        Code::AlreadyClustered | Code::Busy | Code::LedLast | Code::Led | Code::VotersAnswer => {
            "sleepctl cluster status"
        }
        Code::NotControl | Code::NoSuchNode | Code::Unreachable => "sleepctl node ls",
        Code::NoSuchService | Code::NameTaken => "sleepctl service ls",
        Code::NoSuchTask => "sleepctl ps",
        Code::NoSuchToken => "sleepctl cluster token ls",
        Code::NoSuchOperator => "sleepctl operator ls",
        Code::Ambiguous => return None,
        Code::Stale => "sleepctl service ls -o wide",
        Code::BadToken => "sleepctl cluster token create  # on a member",
        Code::Refused | Code::NoDoor => "sleepctl cluster status  # on a member: it tells where it listens",
        Code::Unheard => "sleepctl cluster leave --force",
        Code::LastControl => "sleepctl node promote NODE",
        Code::Oneself => "sleepctl cluster leave",
        Code::Storage | Code::Internal => "journalctl -u sleepd -n 50",
        Code::Unsupported | Code::NoSuchPath | Code::Unknown => "sleepctl version",
        Code::Forbidden => "sleepctl operator create NAME  # on a member",
        Code::Invalid | Code::BadRequest | Code::CommandReused => return Some(help(words)),
    };
    Some(advice.to_owned())
}

/// What was typed, with the nearest name in place of the one that nobody has.
fn corrected(problem: &Problem, words: &[String]) -> Option<String> {
    let missing = problem.title.split('`').nth(1)?;
    let nearest = problem.candidates.first().filter(|_| problem.code != Code::Ambiguous)?;
    let mut words = words.to_vec();
    let typed = words.iter_mut().rev().find(|word| {
        word.strip_prefix(missing).is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', '.']))
    })?;
    *typed = format!("{nearest}{}", &typed[missing.len()..]);
    Some(format!("sleepctl {}", joined(&words)))
}

fn timed_out(after: Duration, progress: &Progress, watch_else: &str) -> Said {
    let said = Said::new(format!("not done after {}; the work goes on", time::exact(after)));
    let services = progress.services.iter().filter(|service| !service.converged).map(standing);
    let nodes = progress.nodes.iter().filter(|node| !node.converged);
    let nodes = nodes.map(|node| format!("{}: {} left", node.name, progress::tasks(node.tasks)));
    let leaving = progress.services.iter().flat_map(|service| &service.leaving);
    let leaving = leaving.filter_map(progress::of_leaving).take(3);
    let open = progress.services.iter().find(|service| !service.converged);
    let watch = match open {
        Some(service) if service.removed => progress::watch_of_leaving(progress),
        Some(service) => Some(format!("sleepctl ps {}", service.name)),
        None => None,
    };
    let watch = watch.unwrap_or_else(|| watch_else.to_owned());
    services.chain(nodes).chain(leaving).fold(said, Said::more).hint(watch)
}

fn standing(service: &ServiceProgress) -> String {
    if service.removed {
        return format!("{}: {} left", service.name, progress::tasks(service.ending));
    }
    let odd: Vec<String> = service
        .slots
        .iter()
        .filter(|slot| !slot.settled)
        .take(3)
        .map(|slot| match slot.message.as_str() {
            "" => format!("{} is {}", slot.name, slot.state),
            message => format!("{} is {}: {message}", slot.name, slot.state),
        })
        .collect();
    format!(
        "{}: {}/{} running; {}",
        service.name,
        progress::running(service),
        service.desired,
        odd.join("; ")
    )
}

fn stuck(progress: &Progress) -> Said {
    let homeless =
        |service: &ServiceProgress| service.slots.iter().filter(|slot| !slot.refusals.is_empty()).count();
    let left: Vec<&ServiceProgress> = progress.services.iter().filter(|service| !service.converged).collect();
    let what: Vec<String> = left
        .iter()
        .map(|service| match homeless(service) {
            1 if service.desired == 1 => format!("`{}` has no node", service.name),
            count => format!("{count} of {} replicas of `{}` have no node", service.desired, service.name),
        })
        .collect();
    let slots = left.iter().flat_map(|service| &service.slots);
    let refusals: Vec<&Refusal> = slots.flat_map(|slot| &slot.refusals).collect();
    let said =
        refusals_by_node(refusals.iter().copied()).into_iter().fold(Said::new(what.join(", ")), Said::more);
    // Room is what work that ends leaves behind; all else has to change first.
    let lacks_room = |refusal: &&Refusal| ROOM.contains(&refusal.filter.as_str());
    let once = if refusals.iter().any(lacks_room) { "there is room" } else { "a node can take it" };
    let said = left.iter().fold(said, |said, service| match progress::running(service) {
        0 => said.more(format!("none of `{}` is running; it starts by itself once {once}", service.name)),
        some => said.more(format!(
            "{some}/{} of `{}` are running; the rest start by themselves once {once}",
            service.desired, service.name
        )),
    });
    let drained = refusals.iter().find(|refusal| refusal.filter.starts_with("drain"));
    let no_engine = |refusal: &&Refusal| refusal.filter == "runtime" && refusal.reason.contains("docker");
    match (drained, left.first()) {
        (_, Some(service)) if !refusals.is_empty() && refusals.iter().all(no_engine) => said
            .more("no node has a container engine; a plain process needs none")
            .hint(format!("sleepctl service update --runtime process --args 'COMMAND' {}", service.name)),
        (Some(refusal), _) => said.hint(format!("sleepctl node activate {}", refusal.node)),
        (None, Some(service)) => said.hint(format!("sleepctl why {}", service.name)),
        (None, None) => said,
    }
}

/// What each node answers, aligned; what several slots hear from a node is told once.
pub fn refusals_by_node<'a>(refusals: impl Iterator<Item = &'a Refusal>) -> Vec<String> {
    let mut by_node: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for refusal in refusals {
        let reasons = by_node.entry(&refusal.node).or_default();
        if !reasons.contains(&refusal.reason.as_str()) {
            reasons.push(&refusal.reason);
        }
    }
    let width = by_node.keys().map(|node| node.chars().count()).max().unwrap_or(0);
    let line = |(node, reasons): (&&str, &Vec<&str>)| format!("  {node:width$}  {}", reasons.join("; "));
    let mut lines: Vec<String> = by_node.iter().take(MAX_REASONS).map(line).collect();
    if by_node.len() > MAX_REASONS {
        lines.push(format!("  and {} more", by_node.len() - MAX_REASONS));
    }
    lines
}

/// How to ask for help on what was typed.
fn help(words: &[String]) -> String {
    let verbs = Cli::verbs(words);
    ["sleepctl"]
        .into_iter()
        .chain(verbs.iter().map(String::as_str))
        .chain(["--help"])
        .collect::<Vec<_>>()
        .join(" ")
}

/// Words as one line that a shell splits the same way.
fn joined(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    let quoted: Vec<String> = words
        .iter()
        .map(|word| match word.chars().all(plain) && !word.is_empty() {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', r"'\''")),
        })
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_slip_of_the_fingers_is_told_from_another_word() {
        let pairs = [("--replica", "--replicas"), ("--evn", "--env"), ("--secret", "--user")];
        assert_eq!(pairs.map(|(typed, nearest)| are_unlike(typed, nearest)), [false, false, true]);
        assert!(are_unlike("--nosuch", "--no-trunc"));
    }

    #[test]
    fn the_nearest_name_takes_the_place_of_the_one_typed() {
        let problem = Problem::new(Code::NoSuchService, 404, "no service `sleep-ap`")
            .candidates(vec!["sleep-app".to_owned(), "sleep-bap".to_owned()]);
        let corrected = |line: &str| corrected(&problem, &words(line));
        assert_eq!(corrected("scale sleep-ap=7"), Some("sleepctl scale sleep-app=7".to_owned()));
        assert_eq!(corrected("logs sleep-ap.2"), Some("sleepctl logs sleep-app.2".to_owned()));
        assert_eq!(corrected("rm sleep-apple"), None);
    }

    #[test]
    fn hosts_that_do_not_answer_are_told_by_their_own_reasons() {
        let hint = |host: &str| {
            let host: crate::client::Host = host.parse().expect("a host");
            let said = said(&Error::unreachable(vec![(host.clone(), Error::host(&host, "x"))]), false, &[]);
            said.hint.unwrap_or_default()
        };
        assert_eq!(hint("quic://pi-1:7533"), "sleepctl -H ssh://pi-1 cluster status");
        assert_eq!(hint("quic://[::1]:1"), "sleepctl -H 'ssh://[::1]' cluster status");
        assert_eq!(hint("quic://fd00::1"), "sleepctl -H ssh://fd00::1 cluster status");
        assert_eq!(hint("ssh://ada@pi-1:22/run/x.sock"), "ssh -p 22 -- ada@pi-1 systemctl status sleepd");
        let socket = |path: &str, kind: std::io::ErrorKind| {
            let host: crate::client::Host = path.parse().expect("a host");
            (host.clone(), Error::socket(&host, &kind.into()))
        };
        let missing = || socket("/missing", std::io::ErrorKind::NotFound);
        let forbidden = || socket("/forbidden", std::io::ErrorKind::PermissionDenied);
        let both = said(&Error::unreachable(vec![missing(), forbidden()]), false, &[]);
        assert_eq!(both.what, "no agent answers: /missing: entity not found; /forbidden: permission denied");
        assert_eq!(both.more[0], "/forbidden may not be opened by this user");
        let one = said(&Error::unreachable(vec![forbidden()]), false, &[]);
        assert_eq!(one.what, "/forbidden may not be opened by this user: permission denied");
        assert_eq!(one.hint, both.hint);
    }

    #[test]
    fn a_line_to_paste_is_split_as_it_was_typed() {
        let typed = ["-H".to_owned(), "a b".to_owned(), "it's".to_owned(), String::new()];
        assert_eq!(joined(&typed), r"-H 'a b' 'it'\''s' ''");
        assert_eq!(help(&words("service scale web=x")), "sleepctl service scale --help");
        assert_eq!(help(&words("scale web=x")), "sleepctl scale --help");
        assert_eq!(help(&words("-H x -q node drain")), "sleepctl node drain --help");
        assert_eq!(help(&words("cluster token create now")), "sleepctl cluster token create --help");
        assert_eq!(help(&words("nod ls")), "sleepctl --help");
    }
}
