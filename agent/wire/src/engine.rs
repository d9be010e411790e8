//! What the core asks of whatever runs tasks, and what it is told.
//!
//! These never leave the host. They stand here because core and drivers share no other room.

use alloc::string::String;
use alloc::vec::Vec;

use crate::id::{ClusterId, WallTime};
use crate::spec::{Runtime, TaskTemplate};
use crate::task::{Exit, Health, TaskId, TaskLabel};

/// The container label that says whose cluster's it is.
pub const CLUSTER_LABEL: &str = "io.sleepd.cluster";

/// The container label that says which node's it is.
pub const NODE_LABEL: &str = "io.sleepd.node";

/// One thing to do. Each is carried out once; what came of it is told in an [`EngineReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAction {
    /// Fetch the image if it is missing, create, start. Reported step by step.
    ///
    /// A start whose answer was lost is asked for again under the same task: what exists of that very task is
    /// not made twice, but started if it never ran, and reported as it is if it runs.
    Start(alloc::boxed::Box<Launch>),
    /// Give up a start that is under way, if it has not come to starting yet: then it is answered with
    /// [`EngineError::Cancelled`]. One that is further, or that nobody is at work on, is none the wiser:
    /// there is no answer, and what runs is stopped like everything else.
    Cancel {
        /// Which runtime was asked to start it.
        runtime: Runtime,
        /// Which task.
        task: TaskId,
    },
    /// Ask a task to stop, wait out its grace, kill it. Where the kernel shows that the first process can
    /// never receive the signal, waiting is pointless: it is killed at once, and the report says so.
    Stop {
        /// Which runtime has it.
        runtime: Runtime,
        /// Which task.
        task: TaskId,
        /// The engine's name for it.
        container: String,
        /// The signal; empty for the image's own, or TERM.
        signal: String,
        /// How long it may take, in milliseconds.
        grace_ms: u64,
    },
    /// Remove what is left of a task that ended.
    Remove {
        /// Which runtime has it.
        runtime: Runtime,
        /// Which task.
        task: TaskId,
        /// The engine's name for it.
        container: String,
    },
    /// Say everything that runs or ran here under this cluster's label, whichever node the label names: what
    /// a node that is removed left on this engine is found this way. Each is told with its node; the core
    /// leaves alone what is neither this node's nor a removed one's.
    List {
        /// Which runtime is asked.
        runtime: Runtime,
    },
}

/// A task to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Whose it is: becomes the labels by which it is found again.
    pub cluster: ClusterId,
    /// Which task.
    pub label: TaskLabel,
    /// The service's name, for people who list containers.
    pub service_name: String,
    /// What to run.
    pub template: TaskTemplate,
    /// Becomes `SLEEPD_FENCE` in its environment.
    pub fence: u64,
}

/// What came of an action, or happened by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineReport {
    /// A step of a start was reached.
    Progress {
        /// Which task.
        task: TaskId,
        /// How far.
        step: StartStep,
    },
    /// A start failed. What it may have left behind is found by the next list.
    StartFailed {
        /// Which task.
        task: TaskId,
        /// Why.
        error: EngineError,
    },
    /// A task ended, by itself or because it was told to.
    Exited {
        /// Which task.
        task: TaskId,
        /// The engine's name for it.
        container: String,
        /// How.
        exit: Exit,
        /// When, by the engine's wall clock.
        at: WallTime,
        /// Whether it was killed without waiting, since it could not have heard the signal.
        deaf: bool,
        /// Its last lines of output.
        last_lines: Vec<String>,
    },
    /// A stop failed: nothing is known of the task.
    StopFailed {
        /// Which task.
        task: TaskId,
        /// Why.
        error: EngineError,
    },
    /// A task's health check changed its mind.
    HealthChanged {
        /// Which task.
        task: TaskId,
        /// To what.
        health: Health,
    },
    /// Nothing is left of a task.
    Removed {
        /// Which task.
        task: TaskId,
    },
    /// Removing failed.
    RemoveFailed {
        /// Which task.
        task: TaskId,
        /// Why.
        error: EngineError,
    },
    /// Everything that a runtime has under our labels: the answer to a list.
    Listed {
        /// Which runtime.
        runtime: Runtime,
        /// What was found.
        found: Vec<Found>,
        /// The images it holds, sorted.
        images: Vec<String>,
    },
    /// A list failed. Nothing is known: unknown is not gone.
    ListFailed {
        /// Which runtime.
        runtime: Runtime,
        /// Why.
        error: EngineError,
    },
    /// A runtime works, or works again.
    Well {
        /// Which.
        runtime: Runtime,
        /// The engine's own id.
        engine: String,
        /// Its version.
        version: String,
    },
    /// A runtime does not answer, or answers with errors only.
    Ill {
        /// Which.
        runtime: Runtime,
        /// In what way.
        error: EngineError,
    },
}

/// A step of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartStep {
    /// The image is being fetched.
    Pulling,
    /// The image is here.
    ImageReady {
        /// Its digest or id, if the engine says.
        digest: String,
    },
    /// It exists, and does not run yet.
    Created {
        /// The engine's name for it.
        container: String,
    },
    /// It runs.
    Running {
        /// The engine's name for it.
        container: String,
        /// Its first process; 0 if unknown.
        pid: u32,
        /// When it started, by the engine's wall clock.
        at: WallTime,
        /// What its health check says.
        health: Health,
    },
}

/// A container or process that bears our labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What its labels say; `None` if they cannot be read: then it is left alone, and named.
    pub label: Option<TaskLabel>,
    /// The engine's name for it.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
    /// When it last started, if it ever did.
    pub started_at: Option<WallTime>,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
    /// What its health check says.
    pub health: Health,
    /// The digest or id of its image, if known.
    pub image_digest: String,
    /// Its last lines of output, if it ended badly.
    pub last_lines: Vec<String>,
}

/// What went wrong in an engine, as facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// No answer within the deadline of the call: unknown is not failed.
    TimedOut {
        /// Which call.
        call: &'static str,
    },
    /// Nobody listens there.
    Unreachable {
        /// In the operating system's words.
        message: String,
    },
    /// No registry and no local store has the image.
    NoSuchImage {
        /// Which.
        image: String,
    },
    /// A host port is taken by somebody else.
    PortTaken {
        /// In the engine's words.
        message: String,
    },
    /// The name is taken by a container that is not ours.
    NameTaken {
        /// Which.
        name: String,
    },
    /// The engine has no such container.
    NoSuchContainer,
    /// It was given up, as was asked.
    Cancelled,
    /// The command cannot be run: not found, not executable.
    BadCommand {
        /// In the engine's words.
        message: String,
    },
    /// Anything else.
    Other {
        /// In the engine's words.
        message: String,
    },
}
