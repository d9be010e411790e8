//! What was typed. What it means is for `command` to say.

pub mod habit;
pub mod parse;
pub mod service;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use service::ServiceCommand;

/// Talk to a cluster of sleepd agents, through any of them.
#[derive(Debug, Parser)]
#[command(name = "sleepctl", version, max_term_width = 100)]
#[command(disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_flag = true)]
#[command(after_help = "Examples:
  sleepctl dev                                   three agents on this machine, to play with
  sleepctl cluster init                          make this host a cluster of one
  sleepctl run -n web --replicas 3 nginx         create a service
  sleepctl ps web                                see its tasks
  sleepctl why web.2                             see why a task is where it is")]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Help begins with how a command is used: most who ask are looking for a line to type.
const HELP: &str = "{about}{after-help}\n\n{usage-heading} {usage}\n\n{all-args}";

impl Global {
    /// Options that ask at these hosts, and print nothing beside the data.
    pub fn at(hosts: String) -> Self {
        Self {
            hosts: hosts.split(',').map(str::to_owned).collect(),
            output: Format::Table,
            quiet: true,
            no_trunc: false,
            timeout: Duration::from_secs(30),
            bounded: false,
            detach: false,
            yes: false,
            color: Color::Auto,
            operator_key: None,
            help: None,
        }
    }

    /// Where agents may be, as flags or the environment say; nowhere in particular if neither does. Clap
    /// would count what the environment says as typed, and show it so.
    pub fn hosts(&self) -> Vec<String> {
        match std::env::var("SLEEPD_HOST") {
            Ok(hosts) if self.hosts.is_empty() && !hosts.is_empty() => {
                hosts.split(',').map(str::to_owned).collect()
            }
            Ok(_) | Err(_) => self.hosts.clone(),
        }
    }

    /// Where the operator's key is, as flags or the environment say.
    pub fn key(&self) -> Option<PathBuf> {
        let environment = || std::env::var_os("SLEEPD_OPERATOR_KEY").filter(|path| !path.is_empty());
        self.operator_key.clone().or_else(|| environment().map(PathBuf::from))
    }
}

impl Cli {
    /// The commands, as clap knows them.
    pub fn definition() -> clap::Command {
        fn examples_first(command: clap::Command) -> clap::Command {
            command.help_template(HELP).mut_subcommands(examples_first)
        }
        examples_first(Self::command())
    }

    /// What was typed.
    ///
    /// # Errors
    /// What clap says of it.
    pub fn typed() -> Result<Self, clap::Error> {
        let matches = Self::definition().try_get_matches()?;
        let mut typed = Self::from_arg_matches(&matches)?;
        typed.global.bounded = matches.value_source("timeout") == Some(ValueSource::CommandLine);
        Ok(typed)
    }

    /// Whether these words, after the program's name, are a command, or ask for help on one.
    pub fn understands(words: &[String]) -> bool {
        let line = std::iter::once("sleepctl").chain(words.iter().map(String::as_str));
        match Self::definition().try_get_matches_from(line) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::DisplayHelp,
        }
    }

    /// Where the first word stands that is no option of the program itself, nor the value of one.
    pub fn first_verb(words: &[String]) -> usize {
        let mut program = Self::definition();
        program.build();
        let mut at = 0;
        while words.get(at).is_some_and(|word| word.starts_with('-')) {
            at += 1 + usize::from(wants_value(&program, &words[at]));
        }
        at.min(words.len())
    }

    /// The verbs of the command that these words begin with, as far as there is such a one.
    pub fn verbs(words: &[String]) -> Vec<String> {
        let mut command = Self::definition();
        command.build();
        let (mut verbs, mut at) = (Vec::new(), 0);
        while let Some(word) = words.get(at) {
            at += 1;
            if word.starts_with('-') {
                at += usize::from(wants_value(&command, word));
                continue;
            }
            let Some(next) = command.find_subcommand(word).cloned() else { break };
            verbs.push(next.get_name().to_owned());
            command = next;
        }
        verbs
    }
}

/// Whether an option's value is the next word.
fn wants_value(command: &clap::Command, option: &str) -> bool {
    let is_it = |arg: &&clap::Arg| match option.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| option.strip_prefix('-') == Some(&short.to_string())),
    };
    command.get_arguments().find(is_it).is_some_and(|arg| arg.get_action().takes_values())
}

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Agent to talk to: a socket's path, HOST or quic://HOST[:7533], ssh://[USER@]HOST; several are tried in
    /// order [env: SLEEPD_HOST]
    #[arg(short = 'H', long = "host", global = true, value_name = "HOST", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// How to print answers
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
    /// Print ids or names only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Never shorten an id
    #[arg(long, global = true)]
    pub no_trunc: bool,
    /// How long to wait for the work to be done: `30s`, `10m`
    #[arg(long, global = true, default_value = "10m", value_parser = parse::duration, value_name = "TIME")]
    pub timeout: Duration,
    /// Whether that was typed: what has no end by itself ends then.
    #[arg(skip)]
    pub bounded: bool,
    /// Do not wait for the work to be done
    #[arg(short, long, global = true)]
    pub detach: bool,
    /// Do not ask before something dangerous
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// The operator key for quic:// hosts [env: SLEEPD_OPERATOR_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub operator_key: Option<PathBuf>,
    /// Print help
    #[arg(short, long, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// More columns.
    Wide,
    /// One JSON value.
    Json,
    /// Names, one a line.
    Name,
}

/// When colour is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a cluster of three agents on this machine, to play with
    Dev(Dev),
    /// Found, join, leave and look at a cluster
    #[command(subcommand, arg_required_else_help = true)]
    Cluster(ClusterCommand),
    /// Manage nodes
    #[command(subcommand, arg_required_else_help = true)]
    Node(NodeCommand),
    /// Manage services
    #[command(subcommand, arg_required_else_help = true)]
    Service(ServiceCommand),
    /// Manage the keys of people who command from afar
    #[command(subcommand, arg_required_else_help = true)]
    Operator(OperatorCommand),
    /// Say what a command would do, and change nothing
    #[command(subcommand, arg_required_else_help = true)]
    #[command(after_help = "Examples:
  sleepctl plan scale web=9
  sleepctl plan drain pi-1
  sleepctl plan update --image nginx:1.27 web")]
    Plan(PlanCommand),
    /// Say why a task, a service or a node is as it is
    #[command(after_help = "Examples:\n  sleepctl why web\n  sleepctl why web.2\n  sleepctl why nuc")]
    Why {
        /// A service, a task (`web.2`, or the beginning of its id) or a node
        #[arg(value_parser = parse::name)]
        subject: String,
    },
    /// Create a service (short for `service create`)
    Run(Box<service::Create>),
    /// List services (short for `service ls`)
    Ls,
    /// List tasks (short for `service ps`)
    Ps(service::Ps),
    /// Print what tasks wrote (short for `service logs`)
    Logs(service::Logs),
    /// Change how many replicas services have (short for `service scale`)
    Scale(service::Scale),
    /// Remove services (short for `service rm`)
    Rm(service::Remove),
    /// Print a completion script
    #[command(after_help = "Examples:
  sleepctl completion bash > /etc/bash_completion.d/sleepctl
  source <(sleepctl completion bash)            verbs, flags, and the names of nodes and services")]
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Connect standard input and output to the local agent's socket, for ssh:// hosts
    #[command(hide = true)]
    DialStdio {
        /// The socket; the default one if absent
        socket: Option<PathBuf>,
    },
    /// Print the versions of client and agent
    Version,
}

impl Command {
    /// Whether it is there to change something.
    pub fn changes(&self) -> bool {
        match self {
            Self::Cluster(command) => match command {
                ClusterCommand::Init
                | ClusterCommand::Join { .. }
                | ClusterCommand::Leave { .. }
                | ClusterCommand::Recover { .. } => true,
                ClusterCommand::Status => false,
                ClusterCommand::Token(command) => !matches!(command, TokenCommand::Ls),
            },
            Self::Node(command) => match command {
                NodeCommand::Ls | NodeCommand::Inspect { .. } | NodeCommand::Ps { .. } => false,
                NodeCommand::Drain { .. }
                | NodeCommand::Pause { .. }
                | NodeCommand::Activate { .. }
                | NodeCommand::Promote { .. }
                | NodeCommand::Demote { .. }
                | NodeCommand::Label { .. }
                | NodeCommand::Rm { .. } => true,
            },
            Self::Service(command) => match command {
                ServiceCommand::Create(_)
                | ServiceCommand::Update(_)
                | ServiceCommand::Scale(_)
                | ServiceCommand::Rm(_) => true,
                ServiceCommand::Ls
                | ServiceCommand::Ps(_)
                | ServiceCommand::Inspect { .. }
                | ServiceCommand::Logs(_)
                | ServiceCommand::History { .. } => false,
            },
            Self::Operator(command) => !matches!(command, OperatorCommand::Ls),
            Self::Run(_) | Self::Scale(_) | Self::Rm(_) => true,
            Self::Dev(_)
            | Self::Plan(_)
            | Self::Why { .. }
            | Self::Ls
            | Self::Ps(_)
            | Self::Logs(_)
            | Self::Completion { .. }
            | Self::Man
            | Self::DialStdio { .. }
            | Self::Version => false,
        }
    }
}

/// Commands that are only thought through.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// What creating a service would do
    Create(Box<service::Create>),
    /// What changing a service would do
    Update(Box<service::Update>),
    /// What other numbers of replicas would do
    Scale(service::Scale),
    /// What draining nodes would do
    Drain {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// What activating nodes would do
    Activate {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
    },
}

/// A cluster on this machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sleepctl dev                                    tell the story, then keep the cluster until Ctrl-C
  sleepctl dev --exit                             tell the story and end, for scripts
  sleepctl dev --driver docker --image nginx      on this machine's container engine")]
pub struct Dev {
    /// End after the story
    #[arg(long)]
    pub exit: bool,
    /// What runs the tasks
    #[arg(long, value_enum, default_value_t = DevDriver::Process, value_name = "DRIVER")]
    pub driver: DevDriver,
    /// The image of the sleep app, for the docker driver
    #[arg(long, required_if_eq("driver", "docker"), value_name = "IMAGE")]
    pub image: Option<String>,
    /// How many agents
    #[arg(long, default_value_t = 3, value_parser = parse::dev_nodes, value_name = "N")]
    pub nodes: u8,
    /// The agent's program; the `sleepd` beside this one by default
    #[arg(long, value_name = "PATH")]
    pub sleepd: Option<PathBuf>,
}

/// What runs the tasks of a cluster on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DevDriver {
    /// Plain processes.
    Process,
    /// The machine's container engine.
    Docker,
}

/// Commands about the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make this host a cluster of one, and print how others join it
    Init,
    /// Make the agent asked a member of a cluster
    #[command(
        after_help = "Examples:\n  sleepctl cluster join --token sleepd-join-1-… pi-1 192.168.1.12:7533"
    )]
    Join {
        /// The join token
        #[arg(long, env = "SLEEPD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
        token: String,
        /// Where members may be found: HOST[:PORT]
        #[arg(required = true, value_name = "ADDR")]
        addresses: Vec<String>,
    },
    /// Take the agent asked out of its cluster
    Leave {
        /// Without handing over first
        #[arg(short, long)]
        force: bool,
    },
    /// Begin anew with the node asked as the one voter, where most voters are gone for good
    #[command(after_help = "\
Where most voters are gone for good, nobody can lead: what runs goes on, and nothing new is started. One node
that is left may lead again once you say so. No node is removed by it: `sleepctl node rm` does that.

Examples:
  sleepctl cluster status                       which voters are not heard
  sleepctl -H quic://pi-3 cluster recover       pi-3 leads from here on")]
    Recover {
        /// Although somebody leads, or most voters answer
        #[arg(short, long)]
        force: bool,
    },
    /// Show what the agent asked sees of its cluster
    #[command(visible_alias = "info")]
    Status,
    /// Manage join tokens
    #[command(subcommand, arg_required_else_help = true)]
    Token(TokenCommand),
}

/// Commands about join tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a join token, and print how it is used
    #[command(after_help = "Examples:
  sleepctl cluster token create                            a line to paste on another host
  TOKEN=$(sleepctl cluster token create -q --ttl 10m)      the bare token, for a script")]
    Create {
        /// How long it is good for: `1h`, `30m`; `0` for ever
        #[arg(long, default_value = "1h", value_parser = parse::duration, value_name = "TIME")]
        ttl: Duration,
        /// Let it admit one node only
        #[arg(long)]
        single_use: bool,
        /// The role it admits to
        #[arg(long, value_enum, default_value_t = RoleArg::Control, value_name = "ROLE")]
        role: RoleArg,
    },
    /// List join tokens
    #[command(visible_alias = "list")]
    Ls,
    /// Make a join token, and revoke all others of its role
    Rotate {
        /// The role it admits to
        #[arg(long, value_enum, default_value_t = RoleArg::Control, value_name = "ROLE")]
        role: RoleArg,
        /// How long it is good for: `1h`, `30m`; `0` for ever
        #[arg(long, default_value = "1h", value_parser = parse::duration, value_name = "TIME")]
        ttl: Duration,
    },
    /// Revoke a join token
    #[command(visible_alias = "revoke")]
    Rm {
        /// Its id, or the beginning of it
        #[arg(value_parser = parse::name)]
        token: String,
    },
}

/// What a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Author desired state, vote, lead, admit.
    Control,
    /// Run tasks.
    Worker,
}

/// Commands about nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List nodes
    #[command(visible_alias = "list")]
    Ls,
    /// Show everything about nodes
    Inspect {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// List a node's tasks
    Ps {
        /// Names or ids; the agent asked by default
        #[arg(value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
        /// Also those that are over
        #[arg(short, long)]
        all: bool,
    },
    /// Move all work away from nodes, and give them no more
    #[command(after_help = "Examples:
  sleepctl node drain pi-1
  sleepctl node drain pi-1 --dry-run    what would move where
  sleepctl node drain pi-1 --detach")]
    Drain {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
        /// Say what would happen, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Give nodes no new work
    Pause {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Give nodes work again
    Activate {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
        /// Say what would happen, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Let nodes author desired state, vote and lead
    Promote {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Let nodes only run tasks
    Demote {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Set labels of a node, or remove them
    #[command(after_help = "Examples:
  sleepctl node label pi-1 zone=attic disk=ssd
  sleepctl node label pi-1 disk-")]
    Label {
        /// Name or id
        #[arg(value_parser = parse::name)]
        node: String,
        /// `KEY=VALUE` sets, `KEY-` removes
        #[arg(required = true, value_parser = parse::label_change, value_name = "LABEL")]
        labels: Vec<(String, Option<String>)>,
    },
    /// Remove nodes from the cluster, for good
    Rm {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "NODE")]
        nodes: Vec<String>,
        /// Its key is in other hands: cut its connections at once (what it wrote stays: look over it)
        #[arg(long)]
        compromised: bool,
    },
}

/// Commands about operators.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Make a key that may command this cluster from afar
    #[command(after_help = "Examples:\n  sleepctl operator create ada\n  sleepctl -H quic://pi-1 node ls")]
    Create {
        /// What people call its owner
        #[arg(value_parser = parse::name)]
        name: String,
        /// Where to put the key; below the configuration folder by default
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// List operators
    #[command(visible_alias = "list")]
    Ls,
    /// Take the keys of operators out, for good
    #[command(visible_alias = "remove")]
    Rm {
        /// Names or ids
        #[arg(required = true, value_parser = parse::name, value_name = "OPERATOR")]
        operators: Vec<String>,
    },
}
