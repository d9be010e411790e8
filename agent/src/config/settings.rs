//! Every setting by name, and what each source says of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Origin};

/// One setting.
struct Setting {
    /// Its flag, and its key in the file. Its variable is the same in capitals, behind `SLEEPD_`.
    name: &'static str,
    /// What its value looks like.
    value: &'static str,
    /// Whether it may be given more than once.
    many: bool,
    help: &'static str,
}

const fn one(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, value, many: false, help }
}

const fn many(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, value, many: true, help }
}

const SETTINGS: [Setting; 11] = [
    one("name", "NAME", "What people call this node [default: the host's name]"),
    one("data-dir", "DIR", "Where key and state are kept [default: /var/lib/sleepd]"),
    many(
        "listen",
        "ADDR[:PORT]",
        "Where to listen for other agents, over UDP [default: all addresses, 7533]",
    ),
    many("advertise", "ADDR[:PORT]", "Where others reach this node [default: the host's addresses]"),
    one("socket", "PATH", "The control socket [default: /run/sleepd/sleepd.sock]"),
    one("api", "ADDR:PORT|off", "Health and metrics, on loopback [default: 127.0.0.1:7534]"),
    one("api-token-file", "FILE", "The token that opens all of the API there [default: none, health alone]"),
    one("driver", "auto|docker|process", "What runs tasks [default: auto]"),
    one("docker-host", "URL", "Where the container engine is [default: unix:///var/run/docker.sock]"),
    many("label", "KEY=VALUE", "A label of this node"),
    one("log-format", "text|json", "How to log [default: text]"),
];

const CONFIG: Setting =
    one("config", "FILE", "Settings as TOML [default: /etc/sleepd/sleepd.toml, if it exists]");

const EXAMPLES: &str = "\
Examples:
  sleepd                                          all defaults: listens on UDP 7533
  sleepd --name pi-3 --label disk=ssd             with a name and a label
  sleepd --driver process --data-dir /tmp/node1   no container engine needed
";

const PRECEDENCE: &str = "\
Each flag is also a key of the file (`data-dir = \"…\"`, `listen = [\"…\"]`) and a variable (SLEEPD_DATA_DIR,
SLEEPD_LISTEN, lists separated by commas). Flags win over variables, variables over the file.";

/// A value, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// What the most important source says of each setting.
#[derive(Debug)]
pub(super) struct Settings(BTreeMap<&'static str, Vec<Given>>);

impl Settings {
    fn given(&self, name: &'static str) -> &[Given] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Where the last value of a setting was given.
    pub(super) fn origin(&self, name: &'static str) -> Origin {
        self.given(name).last().map_or(Origin::Default(name), |given| given.origin.clone())
    }

    /// The value of a setting that has a default.
    pub(super) fn one<T>(
        &self,
        name: &'static str,
        default: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let text = self.given(name).last().map_or(default, |given| given.text.as_str());
        read(text).map_err(|problem| ConfigError::Value { origin: self.origin(name), problem })
    }

    /// The value of a setting that has none unless given.
    pub(super) fn option<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let read = |given: &Given| {
            read(&given.text).map_err(|problem| ConfigError::Value { origin: given.origin.clone(), problem })
        };
        self.given(name).last().map(read).transpose()
    }

    /// All values of a setting.
    pub(super) fn many<T>(
        &self,
        name: &'static str,
        defaults: &[&str],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let default = |text: &&str| Given { text: (*text).to_owned(), origin: Origin::Default(name) };
        let given = match self.0.get(name) {
            Some(given) => given.clone(),
            None => defaults.iter().map(default).collect(),
        };
        let read = |given: Given| {
            read(&given.text).map_err(|problem| ConfigError::Value { origin: given.origin, problem })
        };
        given.into_iter().map(read).collect()
    }
}

/// Asks every source, the most important last.
pub(super) fn gather(
    args: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
    default_file: &Path,
) -> Result<Settings, ConfigError> {
    let flags = command().try_get_matches_from(args).map_err(ConfigError::Usage)?;
    let named = flags.get_one::<OsString>(CONFIG.name).cloned().or_else(|| variable(&CONFIG.variable()));
    let mut settings = file(named.map(PathBuf::from), default_file)?;
    for setting in &SETTINGS {
        if let Some(text) = variable(&setting.variable()) {
            settings.insert(setting.name, from_variable(setting, text)?);
        }
        if flags.contains_id(setting.name) {
            settings.insert(setting.name, from_flags(setting, &flags)?);
        }
    }
    Ok(Settings(settings))
}

/// The command line, as clap knows it.
pub(super) fn command() -> Command {
    let arg = |setting: &Setting| {
        let action = if setting.many { ArgAction::Append } else { ArgAction::Set };
        Arg::new(setting.name)
            .long(setting.name)
            .value_name(setting.value)
            .value_parser(OsStringValueParser::new())
            .action(action)
            .help(setting.help)
    };
    Command::new("sleepd")
        .version(sleep_wire::RELEASE)
        .about("The agent that every host of a cluster runs")
        .before_help(EXAMPLES)
        .after_help(PRECEDENCE)
        .arg(arg(&CONFIG))
        .args(SETTINGS.iter().map(arg))
}

impl Setting {
    fn variable(&self) -> String {
        format!("SLEEPD_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

fn from_variable(setting: &Setting, text: OsString) -> Result<Vec<Given>, ConfigError> {
    let origin = Origin::Variable(setting.variable());
    let text = as_text(text, &origin)?;
    let given = |text: &str| Given { text: text.trim().to_owned(), origin: origin.clone() };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    Ok(if setting.many { parts.map(given).collect() } else { vec![given(&text)] })
}

fn from_flags(setting: &Setting, flags: &ArgMatches) -> Result<Vec<Given>, ConfigError> {
    let values = flags.get_many::<OsString>(setting.name).into_iter().flatten();
    let origin = Origin::Flag(setting.name);
    values.map(|text| Ok(Given { text: as_text(text.clone(), &origin)?, origin: origin.clone() })).collect()
}

fn as_text(text: OsString, origin: &Origin) -> Result<String, ConfigError> {
    let problem = || ConfigError::Value { origin: origin.clone(), problem: "is not UTF-8 text".to_owned() };
    text.into_string().map_err(|_| problem())
}

type Table = BTreeMap<&'static str, Vec<Given>>;

fn file(named: Option<PathBuf>, default: &Path) -> Result<Table, ConfigError> {
    let (path, must_exist) = match named {
        Some(path) => (path, true),
        None => (default.to_owned(), false),
    };
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(Table::new()),
        Err(source) => Err(ConfigError::File { path, source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let place = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Origin::File { path: path.to_owned(), line, column }
    };
    let wrong = |at: usize, problem: String| Err(ConfigError::Value { origin: place(at), problem });
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => return wrong(error.span().map_or(0, |span| span.start), error.message().to_owned()),
    };
    let mut settings = Table::new();
    for (key, value) in table.get_ref() {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key.get_ref().as_ref()) else {
            let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
            let problem = format!("unknown key `{}`; there are {}", key.get_ref(), names.join(", "));
            return wrong(key.span().start, problem);
        };
        let values = match value.get_ref() {
            DeValue::Array(values) if setting.many => values.iter().collect(),
            DeValue::Array(_) => {
                return wrong(value.span().start, format!("`{}` has one value only", setting.name));
            }
            _ => vec![value],
        };
        let mut given = Vec::new();
        for value in values {
            match string(value) {
                Some(text) => given.push(Given { text, origin: place(value.span().start) }),
                None => {
                    return wrong(
                        value.span().start,
                        format!("`{}` is a string: {}", setting.name, setting.value),
                    );
                }
            }
        }
        settings.insert(setting.name, given);
    }
    Ok(settings)
}

fn string(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}
