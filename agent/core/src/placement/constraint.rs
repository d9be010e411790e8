//! `node.labels.zone==a` and the like: read once, judged often.

use alloc::string::{String, ToString};
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
        }
    }
}

impl core::error::Error for BadConstraint {}

/// Reads a constraint: `KEY==VALUE` or `KEY!=VALUE`, where KEY is `node.id`, `node.name` (or
/// `node.hostname`), `node.role`, `node.platform.os`, `node.platform.arch` or `node.labels.NAME`. Spaces
/// around both are ignored.
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

impl Constraint {
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
    use alloc::vec::Vec;

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
}
