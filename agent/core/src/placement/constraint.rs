//! `node.labels.zone==a` and the like: read once, judged often.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use sleep_wire::NodeId;
use sleep_wire::trust::Role;

use super::facts::NodeFact;

/// A condition on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    subject: Subject,
    equal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Id(NodeId),
    Name(String),
    Role(Role),
    Os(String),
    Architecture(String),
    Label(String, String),
}

/// Why a text is not a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadConstraint {
    /// There is neither `==` nor `!=` in it.
    NoOperator,
    /// What stands left of the operator names nothing that nodes have.
    UnknownKey(String),
    /// `node.labels.` without a label's name.
    NoLabel,
    /// Nothing stands right of the operator.
    NoValue,
    /// Not a node's id.
    NotAnId(String),
    /// Not a role.
    NotARole(String),
    /// There is an operator in the value too: `a==b==c`, `a===b`.
    SecondOperator(String),
}

impl fmt::Display for BadConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOperator => write!(f, "neither `==` nor `!=`"),
            Self::UnknownKey(key) => write!(f, "`{key}` is nothing that nodes have"),
            Self::NoLabel => write!(f, "the label has no name"),
            Self::NoValue => write!(f, "no value to compare with"),
            Self::NotAnId(value) => write!(f, "`{value}` is not a node's id"),
            Self::NotARole(value) => write!(f, "`{value}` is not a role: control, worker"),
            Self::SecondOperator(value) => {
                write!(f, "its value `{value}` has a second operator in it: one constraint compares once")
            }
        }
    }
}

impl core::error::Error for BadConstraint {}

/// Reads a constraint: `KEY==VALUE` or `KEY!=VALUE`, where KEY is `node.id`, `node.name` (or
/// `node.hostname`), `node.role`, `node.platform.os`, `node.platform.arch` or `node.labels.NAME`. Spaces
/// around both are ignored.
///
/// Of several operators the first counts, and the others are part of the value: so it was understood when
/// revisions were written that still stand. Nobody may write such a one anew: see [`check_constraints`].
///
/// # Errors
/// [`BadConstraint`] if it is none.
pub fn parse_constraint(text: &str) -> Result<Constraint, BadConstraint> {
    let at = |operator| text.find(operator).map(|at: usize| (at, operator == "=="));
    let (at, equal) = match (at("=="), at("!=")) {
        (Some(a), Some(b)) => a.min(b),
        (Some(found), None) | (None, Some(found)) => found,
        (None, None) => return Err(BadConstraint::NoOperator),
    };
    let (key, value) = (text[..at].trim(), text[at + 2..].trim());
    if value.is_empty() {
        return Err(BadConstraint::NoValue);
    }
    Ok(Constraint { subject: subject(key, value)?, equal })
}

/// Whether somebody may ask for these. What stood in the revision before may stay, whatever it is.
///
/// # Errors
/// The first that is no constraint, or that another one contradicts, and why.
pub fn check_constraints<'a>(texts: &'a [String], before: &[String]) -> Result<(), (&'a str, String)> {
    let mut read: Vec<(&str, Constraint)> = Vec::with_capacity(texts.len());
    for text in texts {
        if before.contains(text) {
            read.extend(parse_constraint(text).ok().map(|constraint| (text.as_str(), constraint)));
            continue;
        }
        if let Some(value) = second_operator(text) {
            let bad = BadConstraint::SecondOperator(value.to_string());
            return Err((text, bad.to_string()));
        }
        let constraint = parse_constraint(text).map_err(|bad| (text.as_str(), bad.to_string()))?;
        if let Some((other, _)) = read.iter().find(|(_, other)| other.contradicts(&constraint)) {
            return Err((text, alloc::format!("no node satisfies it and `{other}` too")));
        }
        read.push((text, constraint));
    }
    Ok(())
}

/// The value of a constraint, if there is an operator in it too, or the rest of one.
fn second_operator(text: &str) -> Option<&str> {
    let at = ["==", "!="].iter().filter_map(|operator| text.find(operator)).min()?;
    let value = text[at + 2..].trim();
    (value.starts_with('=') || value.contains("==") || value.contains("!=")).then_some(value)
}

fn subject(key: &str, value: &str) -> Result<Subject, BadConstraint> {
    if let Some(label) = key.strip_prefix("node.labels.") {
        return match label {
            "" => Err(BadConstraint::NoLabel),
            label => Ok(Subject::Label(label.to_string(), value.to_string())),
        };
    }
    match key {
        "node.id" => {
            NodeId::from_str(value).map(Subject::Id).map_err(|_| BadConstraint::NotAnId(value.to_string()))
        }
        "node.name" | "node.hostname" => Ok(Subject::Name(value.to_string())),
        // Docker's word for it, so that files written for it go on working.
        "node.role" if matches!(value, "control" | "manager") => Ok(Subject::Role(Role::Control)),
        "node.role" if value == "worker" => Ok(Subject::Role(Role::Worker)),
        "node.role" => Err(BadConstraint::NotARole(value.to_string())),
        "node.platform.os" => Ok(Subject::Os(value.to_string())),
        "node.platform.arch" => Ok(Subject::Architecture(value.to_string())),
        key => Err(BadConstraint::UnknownKey(key.to_string())),
    }
}

impl Subject {
    /// Whether both compare the same property of a node.
    fn is_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Label(name, _), Self::Label(other, _)) => name == other,
            (Self::Architecture(one), Self::Architecture(other)) => machine(one) != machine(other),
            _ => core::mem::discriminant(self) == core::mem::discriminant(other),
        }
    }
}

impl Constraint {
    /// Whether no node can satisfy both: nothing has two values, and none equals what it differs from.
    fn contradicts(&self, other: &Self) -> bool {
        match (self.equal, other.equal) {
            (true, true) => self.subject != other.subject && self.subject.is_of(&other.subject),
            (true, false) | (false, true) => self.subject == other.subject,
            (false, false) => false,
        }
    }

    /// Whether a node satisfies it. A label that a node does not have equals nothing.
    pub fn holds(&self, node: &NodeFact) -> bool {
        let equal = match &self.subject {
            Subject::Id(id) => node.id == *id,
            Subject::Name(name) => node.name == *name,
            Subject::Role(role) => node.role == *role,
            Subject::Os(os) => node.os == *os,
            Subject::Architecture(wanted) => machine(&node.architecture) == machine(wanted),
            Subject::Label(name, value) => node.labels.get(name) == Some(value),
        };
        equal == self.equal
    }
}

/// Kernels and registries have different names for the same machines.
fn machine(name: &str) -> &str {
    match name {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" | "i386" => "i686",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::testing::node;

    #[test]
    fn what_is_not_a_constraint_is_refused_with_its_reason() {
        let refused: Vec<_> = [
            "",
            "node.labels.zone=a",
            "node.labels.==a",
            "node.role==",
            "zone==a",
            "node.id==x",
            "node.role==king",
        ]
        .into_iter()
        .map(|text| parse_constraint(text).err())
        .collect();
        assert_eq!(
            refused,
            [
                Some(BadConstraint::NoOperator),
                Some(BadConstraint::NoOperator),
                Some(BadConstraint::NoLabel),
                Some(BadConstraint::NoValue),
                Some(BadConstraint::UnknownKey("zone".to_string())),
                Some(BadConstraint::NotAnId("x".to_string())),
                Some(BadConstraint::NotARole("king".to_string())),
            ]
        );
    }

    #[test]
    fn every_subject_compares_both_ways() {
        let mut host = node(1);
        host.labels.insert("zone".to_string(), "a".to_string());
        host.architecture = "x86_64".to_string();
        let id = host.id.to_string();
        for (text, holds) in [
            (alloc::format!("node.id == {id}"), true),
            ("node.hostname==node-1".to_string(), true),
            ("node.name!=node-1".to_string(), false),
            ("node.role==manager".to_string(), true),
            ("node.role!=worker".to_string(), true),
            ("node.platform.os==linux".to_string(), true),
            ("node.platform.arch==amd64".to_string(), true),
            ("node.labels.zone==a".to_string(), true),
            ("node.labels.zone!=a".to_string(), false),
            ("node.labels.rack==a".to_string(), false),
            ("node.labels.rack!=a".to_string(), true),
            ("node.labels.zone==a==b".to_string(), false),
        ] {
            let constraint = parse_constraint(&text).expect("a constraint");
            assert_eq!(constraint.holds(&host), holds, "{text}");
        }
    }
    fn checked(texts: &[&str], before: &[&str]) -> Option<String> {
        let owned =
            |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_string()).collect() };
        check_constraints(&owned(texts), &owned(before)).err().map(|(text, _)| text.to_string())
    }

    #[test]
    fn one_constraint_compares_once_and_none_contradicts_another() {
        for bad in ["node.labels.a==b==c", "node.labels.a==b!=c", "node.labels.a===b", "node.role!==worker"] {
            assert_eq!(checked(&[bad], &[]).as_deref(), Some(bad));
            // As it was understood when it was written, it may stand as long as nobody changes it.
            assert!(parse_constraint(bad).is_ok() || bad.contains("node.role"), "{bad}");
        }
        assert_eq!(checked(&["node.labels.a==b==c"], &["node.labels.a==b==c"]), None);
        let twice = |one, other| checked(&[one, other], &[]);
        assert_eq!(twice("node.labels.a==b", "node.labels.a!=b").as_deref(), Some("node.labels.a!=b"));
        assert_eq!(twice("node.labels.a==b", "node.labels.a==c").as_deref(), Some("node.labels.a==c"));
        assert_eq!(twice("node.role==manager", "node.role!=control").as_deref(), Some("node.role!=control"));
        assert_eq!(
            twice("node.platform.arch==amd64", "node.platform.arch==arm64").as_deref(),
            Some("node.platform.arch==arm64")
        );
        for (one, other) in [
            ("node.labels.a==b", "node.labels.c==d"),
            ("node.labels.a!=b", "node.labels.a!=c"),
            ("node.labels.a==b", "node.labels.a!=c"),
            ("node.labels.a==b", "node.labels.a==b"),
            ("node.platform.arch==amd64", "node.platform.arch==x86_64"),
            ("node.name==a", "node.platform.os==linux"),
        ] {
            assert_eq!(twice(one, other), None, "{one} {other}");
        }
    }
}
