//! What was typed about services. Flags are Docker's, in spelling and defaults.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sleep_wire::spec::Protocol;

use super::parse;

/// A service's name or id.
pub type ServiceName = String;

/// Commands about services.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Create a service
    Create(Box<Create>),
    /// Change a service
    Update(Box<Update>),
    /// Change how many replicas services have
    Scale(Scale),
    /// List services
    #[command(visible_alias = "list")]
    Ls,
    /// List the tasks of services
    Ps(Ps),
    /// Show everything about services
    Inspect {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "SERVICE")]
        services: Vec<ServiceName>,
    },
    /// Print what a service's tasks wrote
    Logs(Logs),
    /// List a service's revisions
    History {
        /// Name or id
        #[arg(value_parser = parse::name)]
        service: ServiceName,
    },
    /// Remove services
    #[command(visible_alias = "remove")]
    Rm(Remove),
}

/// Flags that create and update share.
#[derive(Debug, Default, Args)]
pub struct Template {
    /// How many replicas
    #[arg(long, value_name = "N", value_parser = parse::replicas, allow_negative_numbers = true)]
    pub replicas: Option<u32>,
    /// Set an environment variable: KEY=VALUE, or KEY to take it from here
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse::env)]
    pub env: Vec<String>,
    /// Set a label of the service: KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub label: Vec<String>,
    /// Set a label of its containers: KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub container_label: Vec<String>,
    /// Publish a port on the host: [IP:]PUBLISHED:TARGET[/udp], a range, or Docker's long form with mode=host
    #[arg(short, long, value_name = "PORT", value_parser = parse::ports)]
    pub publish: Vec<parse::Ports>,
    /// Which goes first when a task is replaced
    #[arg(long, value_enum, value_name = "ORDER")]
    pub update_order: Option<OrderArg>,
    /// How many slots are updated at a time; 0 for all
    #[arg(long, value_parser = parse::count, value_name = "N")]
    pub update_parallelism: Option<u32>,
    /// Between two slots of an update
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub update_delay: Option<Duration>,
    /// How long a new task is watched for failure
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub update_monitor: Option<Duration>,
    /// How long a task may take to stop before it is killed
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub stop_grace_period: Option<Duration>,
    /// The signal that asks a task to stop
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Which ends of a task are followed by a new attempt
    #[arg(long, value_enum, value_name = "CONDITION")]
    pub restart_condition: Option<ConditionArg>,
    /// The least time between two attempts
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub restart_delay: Option<Duration>,
    /// How many attempts before giving up; 0 for no bound
    #[arg(long, value_parser = parse::count, value_name = "N")]
    pub restart_max_attempts: Option<u32>,
    /// Over which attempts are counted
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub restart_window: Option<Duration>,
    /// Place tasks only where this holds: node.labels.KEY==VALUE, node.role!=worker, …
    #[arg(long, value_name = "EXPRESSION")]
    pub constraint: Vec<String>,
    /// Spread tasks over the values of this node label
    #[arg(long, value_name = "LABEL")]
    pub spread_by: Option<String>,
    /// The most tasks on one node; 0 for no bound
    #[arg(long, value_parser = parse::count, value_name = "N")]
    pub replicas_max_per_node: Option<u32>,
    /// Keep this much memory for each task
    #[arg(long, value_parser = parse::memory, value_name = "BYTES")]
    pub reserve_memory: Option<u64>,
    /// Let a task have no more memory
    #[arg(long, value_parser = parse::memory, value_name = "BYTES")]
    pub limit_memory: Option<u64>,
    /// Keep this many cores for each task
    #[arg(long, value_parser = parse::cpus, value_name = "CORES")]
    pub reserve_cpu: Option<u64>,
    /// Let a task have no more cores
    #[arg(long, value_parser = parse::cpus, value_name = "CORES")]
    pub limit_cpu: Option<u64>,
    /// Whom its tasks run as
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Where its tasks run
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// What its containers call themselves
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// How long a node must be down before its work is placed elsewhere
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub reschedule_delay: Option<Duration>,
    /// Which of two tasks of a slot stays after a split heals
    #[arg(long, value_enum, value_name = "WHICH")]
    pub on_heal: Option<HealArg>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which goes first when a task is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OrderArg {
    /// The old one stops, then the new one starts.
    StopFirst,
    /// The new one starts, then the old one stops.
    StartFirst,
}

/// Which ends of a task are followed by a new attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConditionArg {
    /// None.
    None,
    /// Those with an exit code other than 0.
    OnFailure,
    /// All.
    Any,
}

/// Which of two tasks of a slot stays after a heal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HealArg {
    /// The one that has been running longest.
    KeepOriginal,
    /// The one that was started last.
    KeepNewest,
}

/// What runs a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeArg {
    /// A container engine.
    Docker,
    /// A plain process.
    Process,
}

/// How many tasks a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// As many as `--replicas` says.
    Replicated,
    /// One on every node.
    Global,
}

/// A new service.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sleepctl service create --name sleep-app busybox sleep infinity
  sleepctl service create --name web --replicas 3 -p 8080:80 --update-order start-first nginx
  sleepctl service create --name beat --runtime process -- sh -c 'while :; do date; sleep 5; done'")]
pub struct Create {
    /// What to call it; the image's name by default
    #[arg(short, long)]
    pub name: Option<String>,
    /// How many tasks it has
    #[arg(long, value_enum, default_value_t = ModeArg::Replicated)]
    pub mode: ModeArg,
    /// What runs its tasks
    #[arg(long, value_enum, default_value_t = RuntimeArg::Docker)]
    pub runtime: RuntimeArg,
    /// Replaces the image's entry point
    #[arg(long, value_name = "COMMAND", value_parser = parse::words)]
    pub entrypoint: Option<parse::Words>,
    /// Shared with update
    #[command(flatten)]
    pub template: Template,
    /// The image; for processes the program
    pub image: String,
    /// The command; for processes the program's arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// A change of a service.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sleepctl service update --image nginx:1.27 web
  sleepctl service update --replicas 7 sleep-app
  sleepctl service update --env-rm DEBUG --env MODE=fast web
  sleepctl service update --runtime process --args 'sleep infinity' sleep-app")]
pub struct Update {
    /// Name or id
    #[arg(value_parser = parse::name)]
    pub service: ServiceName,
    /// The image
    #[arg(long)]
    pub image: Option<String>,
    /// What runs its tasks; `docker` needs --image, `process` takes the command alone
    #[arg(long, value_enum, value_name = "RUNTIME")]
    pub runtime: Option<RuntimeArg>,
    /// The command, as one line of words
    #[arg(long, value_name = "COMMAND", value_parser = parse::words)]
    pub args: Option<parse::Words>,
    /// Remove an environment variable
    #[arg(long, value_name = "KEY")]
    pub env_rm: Vec<String>,
    /// Remove a label of the service
    #[arg(long, value_name = "KEY")]
    pub label_rm: Vec<String>,
    /// Remove a constraint
    #[arg(long, value_name = "EXPRESSION")]
    pub constraint_rm: Vec<String>,
    /// Stop publishing the port whose target this is: `53` or `53/udp`
    #[arg(long, value_name = "TARGET[/PROTOCOL]", value_parser = parse::target)]
    pub publish_rm: Vec<(u16, Option<Protocol>)>,
    /// Shared with create
    #[command(flatten)]
    pub template: Template,
}

/// New numbers of replicas.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sleepctl service scale web=5 cache=2\n  sleepctl service scale web=5 --dry-run"
)]
pub struct Scale {
    /// Name or id, and how many
    #[arg(required = true, value_parser = parse::scale, value_name = "SERVICE=N")]
    pub scales: Vec<(ServiceName, u32)>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Tasks of services.
#[derive(Debug, Args)]
pub struct Ps {
    /// Names or ids; all services by default
    #[arg(value_parser = parse::name, value_name = "SERVICE")]
    pub services: Vec<ServiceName>,
    /// Only those that should run
    #[arg(long)]
    pub running: bool,
}

/// Output of a service's tasks.
#[derive(Debug, Args)]
pub struct Logs {
    /// A service, or a task such as `web.2`
    #[arg(value_parser = parse::name)]
    pub subject: String,
    /// Go on with what is written later, for as long as --timeout says if it is given
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines from the end of each task's output
    #[arg(long, visible_alias = "tail", value_parser = parse::count, value_name = "N")]
    pub lines: Option<u32>,
    /// Show when each line was written
    #[arg(short, long)]
    pub timestamps: bool,
}

/// Services to remove.
#[derive(Debug, Args)]
pub struct Remove {
    /// Names or ids
    #[arg(required = true, value_parser = parse::name, value_name = "SERVICE")]
    pub services: Vec<ServiceName>,
}
