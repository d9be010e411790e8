//! What clients send. Unknown fields are refused: a misspelt one is an error, not a default.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::node::Availability;
use crate::spec::{Mode, PartitionPolicy, Placement, TaskTemplate, UpdatePolicy};
use crate::trust::Role;

macro_rules! request {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }
    };
}

request! {
    /// Found a cluster of one.
    pub struct Init {}
}

request! {
    /// Join a cluster.
    pub struct Join {
        /// The token's string.
        pub token: String,
        /// Where its members may be found: `HOST[:PORT]`, tried in order.
        pub addresses: Vec<String>,
    }
}

request! {
    /// Leave the cluster.
    pub struct Leave {
        /// Without handing over.
        #[serde(default)]
        pub force: bool,
    }
}

request! {
    /// Found the next generation with the node asked as its one voter.
    pub struct Recover {
        /// Although somebody leads, or a majority of the voters answers.
        #[serde(default)]
        pub force: bool,
    }
}

request! {
    /// Make a join token.
    pub struct TokenCreate {
        /// The role it admits to.
        pub role: Role,
        /// How long it is good for, in milliseconds; absent: for ever.
        #[serde(default)]
        pub ttl_ms: Option<u64>,
        /// Whether it admits one node only.
        #[serde(default)]
        pub single_use: bool,
        /// Whether all other tokens of that role are revoked.
        #[serde(default)]
        pub rotate: bool,
    }
}

request! {
    /// Admit an operator's key.
    pub struct OperatorCreate {
        /// What people call them.
        pub name: String,
        /// The ed25519 public key, 64 hexadecimal digits.
        pub public_key: String,
    }
}

request! {
    /// Say whether a node takes work.
    pub struct SetAvailability {
        /// Whether it does.
        pub availability: Availability,
    }
}

request! {
    /// Change a node's role.
    pub struct SetRole {
        /// To what.
        pub role: Role,
    }
}

request! {
    /// Set or remove labels of a node.
    pub struct SetLabels {
        /// Names with values; null removes.
        pub labels: BTreeMap<String, Option<String>>,
    }
}

request! {
    /// What a revision of a service says.
    pub struct Spec {
        /// What a task runs.
        pub template: TaskTemplate,
        /// Where tasks may run.
        #[serde(default)]
        pub placement: Placement,
        /// How old tasks give way to new ones.
        #[serde(default)]
        pub update: UpdatePolicy,
        /// What happens when nodes cannot see each other.
        #[serde(default)]
        pub partition: PartitionPolicy,
        /// Labels of the service itself, as `key=value`.
        #[serde(default)]
        pub labels: Vec<String>,
    }
}

request! {
    /// Create a service.
    pub struct ServiceCreate {
        /// What people shall call it: 1–63 characters of a–z, 0–9 and `-`.
        pub name: String,
        /// How many tasks it has.
        pub mode: Mode,
        /// Whether it must never run twice.
        #[serde(default)]
        pub singleton: bool,
        /// The first value of its scale; 1 for global services.
        pub replicas: u32,
        /// Its first revision.
        pub spec: Spec,
    }
}

request! {
    /// Change a service.
    pub struct ServiceUpdate {
        /// The new revision, whole.
        pub spec: Spec,
        /// Also a new scale.
        #[serde(default)]
        pub replicas: Option<u32>,
        /// The revision that the client saw: a newer one refuses the change.
        #[serde(default)]
        pub expected: Option<String>,
    }
}

request! {
    /// Change how many replicas services have: all of them or none.
    pub struct SetScale {
        /// Service to number of replicas.
        pub services: BTreeMap<String, u32>,
    }
}

request! {
    /// Remove services: all of them or none.
    pub struct RemoveServices {
        /// Which.
        pub services: Vec<String>,
    }
}

/// What is only thought through: see [`super::Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Proposal {
    /// A new service.
    Create(Box<ServiceCreate>),
    /// Another revision of a service.
    Update {
        /// Its name or id.
        service: String,
        /// What it would be.
        update: Box<ServiceUpdate>,
    },
    /// Other numbers of replicas.
    Scale(SetScale),
    /// Nodes take work, or no more.
    Availability {
        /// Their names or ids.
        nodes: Vec<String>,
        /// What they would be.
        availability: Availability,
    },
}
