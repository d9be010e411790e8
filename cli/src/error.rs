//! What went wrong, as facts. What to say and what to type next is for `output::error`.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use sleep_wire::api::{Code, Problem, Progress};

use crate::client::Host;

/// A command that did not come to its end.
#[derive(Debug)]
pub enum Error {
    /// What was typed is not a command.
    Usage(String),
    /// No agent answers.
    Unreachable {
        /// Where it was tried.
        hosts: Vec<String>,
        /// In the operating system's words.
        why: String,
        /// Which of them is a socket that is there, and that this user may not use.
        forbidden: Option<String>,
    },
    /// The agent refused. Nothing changed, unless it says so.
    Refused(Box<Problem>),
    /// The agent went away while it was asked.
    Lost {
        /// Which.
        host: String,
        /// In whose words ever.
        why: String,
    },
    /// The agent's answer means nothing to this release.
    Nonsense(String),
    /// An operator's key cannot be used.
    Key {
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It was waited for long enough. The work goes on.
    TimedOut {
        /// How long.
        after: Duration,
        /// How far it is.
        progress: Box<Progress>,
        /// How to watch it, where nothing is known of how far it is.
        watch: String,
    },
    /// What is left cannot be placed.
    Stuck(Box<Progress>),
    /// The task that was asked for failed.
    Failed {
        /// What.
        what: String,
        /// In what way, line by line.
        lines: Vec<String>,
        /// What to type next; empty for nothing.
        hint: String,
    },
    /// Somebody pressed Ctrl-C. The work goes on.
    Interrupted {
        /// How to watch it.
        watch: String,
    },
    /// Somebody pressed Ctrl-C, and that is all there is to say.
    Stopped,
    /// It was dangerous, and nobody confirmed it.
    Unconfirmed(String),
    /// It went wrong when a part of it had been changed.
    Partly(Box<Self>),
    /// Nobody reads what is printed any more.
    Unread,
    /// Something here that is nobody's fault but this program's or this machine's.
    Internal(String),
}

impl Error {
    /// What a script learns of it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(problem) if problem.code == Code::Stale => 6,
            // Whether this program or the agent finds a value wrong is nothing to a script.
            Self::Refused(problem) if problem.code == Code::Invalid => 2,
            Self::Refused(_)
            | Self::Failed { .. }
            | Self::Nonsense(_)
            | Self::Key { .. }
            | Self::Internal(_) => 1,
            Self::Usage(_) | Self::Unconfirmed(_) => 2,
            Self::Unreachable { .. } | Self::Lost { .. } => 3,
            Self::TimedOut { .. } => 4,
            Self::Stuck(_) => 5,
            Self::Interrupted { .. } | Self::Stopped => 130,
            Self::Partly(error) => error.exit_code(),
            Self::Unread => 0,
        }
    }

    /// Something this program took for granted does not hold.
    pub fn internal(what: &str, error: &dyn Display) -> Self {
        Self::Internal(format!("{what}: {error}"))
    }

    /// An answer that means nothing.
    pub fn nonsense(what: &str) -> Self {
        Self::Nonsense(what.to_owned())
    }

    /// The stream ended in the middle of an answer.
    pub fn cut(error: &dyn Display) -> Self {
        Self::Lost { host: String::new(), why: error.to_string() }
    }

    /// The agent hung up.
    pub fn lost(host: &Host, error: &dyn Display) -> Self {
        Self::Lost { host: host.to_string(), why: error.to_string() }
    }

    /// The agent took the request and said nothing.
    pub fn silent(host: &Host, after: Duration) -> Self {
        Self::Lost { host: host.to_string(), why: Self::no_answer(after) }
    }

    /// It was to take no longer, and how far it is nobody knows.
    pub fn timed_out(after: Duration, watch: &str) -> Self {
        let progress = Progress { services: Vec::new(), nodes: Vec::new(), converged: false, stuck: false };
        Self::TimedOut { after, progress: Box::new(progress), watch: watch.to_owned() }
    }

    /// The same, where something was changed before.
    #[must_use]
    pub fn after(self, changed: bool) -> Self {
        match self {
            Self::Refused(mut problem) => {
                problem.changed |= changed;
                Self::Refused(problem)
            }
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Nonsense(_) | Self::Internal(_)
                if changed =>
            {
                Self::Partly(Box::new(self))
            }
            // What is waited for was changed before.
            other => other,
        }
    }

    /// That nothing was heard for so long.
    pub fn no_answer(after: Duration) -> String {
        let tenths = (after.as_millis() + 50) / 100;
        let rest = if tenths.is_multiple_of(10) { String::new() } else { format!(".{}", tenths % 10) };
        format!("no answer within {}{rest} s", tenths / 10)
    }

    /// A host does not answer.
    pub fn host(host: &Host, why: &str) -> Self {
        Self::Unreachable { hosts: vec![host.to_string()], why: why.to_owned(), forbidden: None }
    }

    /// A socket does not answer.
    pub fn socket(host: &Host, error: &std::io::Error) -> Self {
        let forbidden = error.kind() == std::io::ErrorKind::PermissionDenied;
        let (host, why) = (host.to_string(), error.to_string());
        Self::Unreachable { forbidden: forbidden.then(|| host.clone()), hosts: vec![host], why }
    }

    /// None of several hosts answers.
    pub fn unreachable(tried: Vec<(Host, Self)>) -> Self {
        let mut all = Vec::new();
        let (mut reasons, mut first_forbidden) = (Vec::new(), None);
        let several = tried.len() > 1;
        for (host, error) in tried {
            if let Self::Unreachable { why, forbidden, .. } = error {
                reasons.push(if several { format!("{host}: {why}") } else { why });
                first_forbidden = first_forbidden.or(forbidden);
            }
            all.push(host.to_string());
        }
        Self::Unreachable { hosts: all, why: reasons.join("; "), forbidden: first_forbidden }
    }

    /// Whether another try, or another host, may do better.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Refused(problem) => problem.status == 503,
            Self::Partly(error) => error.is_passing(),
            Self::Usage(_)
            | Self::Nonsense(_)
            | Self::Key { .. }
            | Self::TimedOut { .. }
            | Self::Stuck(_)
            | Self::Failed { .. }
            | Self::Interrupted { .. }
            | Self::Stopped
            | Self::Unconfirmed(_)
            | Self::Unread
            | Self::Internal(_) => false,
        }
    }
}
