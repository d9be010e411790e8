//! What this agent was told: by flags, by the environment, by its file, or by nobody.
//!
//! ```text
//! --flag  >  SLEEPD_VARIABLE  >  sleepd.toml  >  default
//! ```
//! One table names every setting once: its flag, its variable and its key in the file follow from that
//! name. A list that one source gives replaces the list of a lesser one. What is wrong is told with where
//! it stands: a flag, a variable, or file, line and column.
//!
//! # Not here
//! What the values are for. Whether an address can be had, a directory written: whoever uses them finds out.

mod settings;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file that is read if none is named and it exists.
pub const DEFAULT_FILE: &str = "/etc/sleepd/sleepd.toml";

/// Where agents of one host find each other's locks, and clients the socket.
pub const RUN_DIR: &str = "/run/sleepd";

/// What the program was started as.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// The agent.
    Agent(Box<Config>),
    /// The small process that a task of the process driver runs under: `sleepd shim …`, with what follows.
    Shim(Vec<OsString>),
}

/// What the agent was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What people call this node.
    pub name: String,
    /// Where key and state are, absolute.
    pub data_dir: PathBuf,
    /// Where it listens for others, over UDP.
    pub listen: Vec<SocketAddr>,
    /// Where others reach it; empty for the host's own addresses.
    pub advertise: Vec<SocketAddr>,
    /// The control socket, absolute.
    pub socket: PathBuf,
    /// Where health and metrics are served, on loopback; `None` for nowhere.
    pub api: Option<SocketAddr>,
    /// Where the token is that opens the whole API there, absolute; `None` for health and metrics alone.
    pub api_token_file: Option<PathBuf>,
    /// What runs tasks.
    pub driver: Driver,
    /// Where the container engine is; `None` for its usual place.
    pub docker_host: Option<String>,
    /// The node's own labels, by key, each once.
    pub labels: Vec<(String, String)>,
    /// How it logs.
    pub log_format: LogFormat,
}

/// What runs tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Docker if there is an engine at the first start, else processes; the choice is recorded.
    Auto,
    /// A container engine.
    Docker,
    /// Plain processes.
    Process,
}

/// How the agent logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads what the program was told. `args` begins with the program's own name; `variable` looks up the
/// environment; `host_name` is what the node is called unless told otherwise.
///
/// # Errors
/// [`ConfigError`]; asking for help or the version is one too.
pub fn read(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
    host_name: &str,
) -> Result<Invocation, ConfigError> {
    read_with(args, variable, host_name, Path::new(DEFAULT_FILE))
}

fn read_with(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
    host_name: &str,
    default_file: &Path,
) -> Result<Invocation, ConfigError> {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|first| first == "shim") {
        return Ok(Invocation::Shim(args.into_iter().skip(2).collect()));
    }
    let given = settings::gather(args, variable, default_file)?;
    let config = Config {
        name: given.one("name", host_name, values::name)?,
        data_dir: given.one("data-dir", "/var/lib/sleepd", values::path)?,
        listen: given.many("listen", &["[::]:7533"], values::listen)?,
        advertise: given.many("advertise", &[], values::advertise)?,
        socket: given.one("socket", "/run/sleepd/sleepd.sock", values::socket)?,
        api: given.one("api", "127.0.0.1:7534", values::api)?,
        api_token_file: given.option("api-token-file", values::path)?,
        driver: given.one("driver", "auto", values::driver)?,
        docker_host: given.option("docker-host", values::docker_host)?,
        labels: values::each_once(given.many("label", &[], values::label)?, given.origin("label"))?,
        log_format: given.one("log-format", "text", values::log_format)?,
    };
    Ok(Invocation::Agent(Box::new(config)))
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, by its name without dashes.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A place in the file.
    File {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// Nobody said so: the default for this setting.
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Default(name) => write!(f, "default of --{name}"),
        }
    }
}

/// Why the agent does not start.
#[derive(Debug)]
pub enum ConfigError {
    /// The flags are none of ours; or they asked for help or the version, which is told in the same way.
    Usage(clap::Error),
    /// The file cannot be read.
    File {
        /// Which file.
        path: PathBuf,
        /// In the operating system's words.
        source: io::Error,
    },
    /// A value is not one.
    Value {
        /// Where it was given.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
    },
}

impl ConfigError {
    /// What the program exits with: 0 for help and version, else 2.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Self::File { .. } | Self::Value { .. } => 2,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => write!(f, "{error}"),
            Self::File { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Value { origin, problem } => write!(f, "{origin}: {problem}"),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
