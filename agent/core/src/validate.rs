//! Which values people may ask for. The same on every node, so that no door is laxer than another.
//!
//! # Not here
//! Whether a node can run it: see `placement`. Whether the command line understood it: see `cli`.

mod image;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use sleep_wire::spec::{Port, Resources, Revision, Runtime, ServiceBirth, TaskTemplate};
use sleep_wire::{Wire, fits};

use crate::io::Refusal;
pub(crate) use image::canonical;

/// The most replicas of a service.
pub const MAX_REPLICAS: u32 = 100_000;

/// The longest name of a service or node, in characters.
pub const MAX_NAME: usize = 63;

/// The longest entry of an environment, label or command, in bytes.
pub const MAX_ENTRY: usize = 32 * 1024;

/// The most entries of a list in a template.
pub const MAX_ENTRIES: usize = 1_000;

/// The least memory that a container engine accepts as a limit, in bytes.
pub const MIN_MEMORY: u64 = 6 * 1024 * 1024;

/// Labels that begin so are ours.
pub const RESERVED_LABEL: &str = "io.sleepd.";

/// A service's name: 1–63 characters of a–z, 0–9 and `-`, not at either end.
///
/// # Errors
/// [`Refusal::Invalid`], saying what is wrong.
pub fn name(field: &str, name: &str) -> Result<(), Refusal> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NAME {
        "is longer than 63 characters"
    } else if !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-') {
        "may have a-z, 0-9 and `-` only"
    } else if name.starts_with('-') || name.ends_with('-') {
        "begins or ends with `-`"
    } else {
        return Ok(());
    };
    Err(invalid(field, problem))
}

/// A node's own name, which hosts choose more freely: letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// [`Refusal::Invalid`], saying what is wrong.
pub fn node_name(field: &str, name: &str) -> Result<(), Refusal> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NAME {
        "is longer than 63 characters"
    } else if !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)) {
        "may have letters, digits, `-`, `_` and `.` only"
    } else if name.starts_with(['-', '.']) {
        "begins with `-` or `.`"
    } else {
        return Ok(());
    };
    Err(invalid(field, problem))
}

/// A number of replicas.
///
/// # Errors
/// [`Refusal::Invalid`] above [`MAX_REPLICAS`].
pub fn replicas(replicas: u32) -> Result<(), Refusal> {
    if replicas > MAX_REPLICAS {
        return Err(invalid("replicas", &format!("is {replicas}, where at most {MAX_REPLICAS} are allowed")));
    }
    Ok(())
}

/// A label of a node: `key` and value.
///
/// # Errors
/// [`Refusal::Invalid`], saying what is wrong.
pub fn label(key: &str, value: Option<&str>) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > 128 {
        return Err(invalid("label", "has a key that is empty or longer than 128 bytes"));
    }
    if !key.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_./".contains(&c)) {
        return Err(invalid(
            "label",
            &format!("`{}` may have letters, digits and `-_./` only", key.escape_debug()),
        ));
    }
    if key.starts_with(RESERVED_LABEL) {
        return Err(invalid("label", &format!("`{key}` begins with `{RESERVED_LABEL}`, which is reserved")));
    }
    match value {
        Some(value) if value.len() > 256 || value.chars().any(char::is_control) => {
            Err(invalid("label", &format!("`{key}` has a value that is too long or has control characters")))
        }
        _ => Ok(()),
    }
}

/// Everything that a revision says.
///
/// # Errors
/// The first [`Refusal::Invalid`].
pub fn revision(spec: &Revision) -> Result<(), Refusal> {
    template(&spec.template)?;
    labels("labels", &spec.labels)?;
    entries("placement.constraints", &spec.placement.constraints)?;
    if spec.update.max_failure_permille > 1_000 {
        return Err(invalid("update.max_failure_permille", "is above 1000"));
    }
    for (field, ms) in [
        ("template.stop_grace_ms", spec.template.stop_grace_ms),
        ("template.restart.delay_ms", spec.template.restart.delay_ms),
        ("update.delay_ms", spec.update.delay_ms),
        ("update.monitor_ms", spec.update.monitor_ms),
        ("partition.reschedule_delay_ms", spec.partition.reschedule_delay_ms),
    ] {
        if ms > 7 * 24 * 3_600_000 {
            return Err(invalid(field, "is longer than a week"));
        }
    }
    if !fits(spec) {
        return Err(invalid("spec", &format!("has more than {} bytes in all", Revision::LIMIT)));
    }
    Ok(())
}

/// That a birth fits a record.
///
/// # Errors
/// [`Refusal::Invalid`] if it does not.
pub fn birth(birth: &ServiceBirth) -> Result<(), Refusal> {
    if fits(birth) { Ok(()) } else { Err(invalid("spec", "is too large")) }
}

fn template(template: &TaskTemplate) -> Result<(), Refusal> {
    match template.runtime {
        Runtime::Docker => {
            image::problem(&template.image).map_or(Ok(()), |bad| Err(invalid("template.image", &bad)))?;
        }
        Runtime::Process if !template.image.is_empty() => {
            return Err(invalid(
                "template.image",
                "is set, where the runtime `process` takes a command only",
            ));
        }
        Runtime::Process if program(template).is_none_or(String::is_empty) => {
            return Err(invalid("template.command", "is empty, where the runtime `process` needs one"));
        }
        Runtime::Process => {}
    }
    for (field, list) in [
        ("template.entrypoint", &template.entrypoint),
        ("template.command", &template.command),
        ("template.env", &template.env),
    ] {
        entries(field, list)?;
    }
    template.env.iter().try_for_each(|entry| variable(entry))?;
    labels("template.labels", &template.labels)?;
    for (field, text) in [
        ("template.user", &template.user),
        ("template.workdir", &template.workdir),
        ("template.hostname", &template.hostname),
        ("template.stop_signal", &template.stop_signal),
    ] {
        entry(field, text)?;
    }
    if !template.workdir.is_empty() && !template.workdir.starts_with('/') {
        return Err(invalid("template.workdir", "is not an absolute path"));
    }
    stop_signal(&template.stop_signal, template.runtime)?;
    ports(&template.ports)?;
    resources(&template.resources)
}

/// What a template runs, if it says so itself.
fn program(template: &TaskTemplate) -> Option<&String> {
    template.entrypoint.iter().chain(&template.command).next()
}

const SIGNALS: [&str; 15] = [
    "TERM", "INT", "QUIT", "HUP", "KILL", "USR1", "USR2", "ALRM", "ABRT", "PIPE", "CONT", "WINCH", "STOP",
    "TSTP", "CHLD",
];

fn stop_signal(signal: &str, runtime: Runtime) -> Result<(), Refusal> {
    let number = signal.parse::<u8>().ok().filter(|number| (1..=64).contains(number));
    let problem = match number {
        Some(32..) if runtime == Runtime::Process => "is above 31, the highest that a process can be sent",
        Some(_) => return Ok(()),
        None if signal.is_empty() => return Ok(()),
        None if SIGNALS.contains(&signal.strip_prefix("SIG").unwrap_or(signal)) => return Ok(()),
        None => "is no signal",
    };
    Err(invalid("template.stop_signal", &format!("`{signal}` {problem}")))
}

fn ports(ports: &[Port]) -> Result<(), Refusal> {
    for (at, port) in ports.iter().enumerate() {
        if port.published == 0 || port.target == 0 {
            return Err(invalid("template.ports", "has port 0, where 1 to 65535 are allowed"));
        }
        if !port.host_ip.is_empty() && port.host_ip.parse::<core::net::IpAddr>().is_err() {
            return Err(invalid(
                "template.ports",
                &format!("`{}` is no IP address", port.host_ip.escape_debug()),
            ));
        }
        let twice = |other: &Port| {
            other.published == port.published
                && other.protocol == port.protocol
                && other.host_ip == port.host_ip
        };
        if ports[..at].iter().any(twice) {
            return Err(invalid("template.ports", &format!("publishes {} twice", port.published)));
        }
    }
    if ports.len() > MAX_ENTRIES {
        return Err(invalid("template.ports", "has more than 1000 entries"));
    }
    Ok(())
}

fn resources(resources: &Resources) -> Result<(), Refusal> {
    let Resources { reserve_cpu_milli, reserve_memory, limit_cpu_milli, limit_memory } = *resources;
    if limit_memory != 0 && limit_memory < MIN_MEMORY {
        return Err(invalid(
            "template.resources.limit_memory",
            "is below 6 MiB, the least that engines accept",
        ));
    }
    if limit_memory != 0 && reserve_memory > limit_memory {
        return Err(invalid("template.resources.reserve_memory", "is above the limit"));
    }
    if limit_cpu_milli != 0 && reserve_cpu_milli > limit_cpu_milli {
        return Err(invalid("template.resources.reserve_cpu_milli", "is above the limit"));
    }
    if reserve_memory > 1 << 50 || limit_memory > 1 << 50 {
        return Err(invalid("template.resources", "has more than a pebibyte of memory"));
    }
    Ok(())
}

fn entries(field: &str, list: &[String]) -> Result<(), Refusal> {
    if list.len() > MAX_ENTRIES {
        return Err(invalid(
            field,
            &format!("has {} entries, where at most {MAX_ENTRIES} are allowed", list.len()),
        ));
    }
    list.iter().try_for_each(|text| entry(field, text))
}

fn entry(field: &str, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        return Err(invalid(field, "has a NUL character"));
    }
    if text.len() > MAX_ENTRY {
        return Err(invalid(
            field,
            &format!("has an entry of {} bytes, where at most {MAX_ENTRY} are allowed", text.len()),
        ));
    }
    Ok(())
}

/// The name of a `name=value`.
fn name_of<'a>(field: &str, text: &'a str) -> Result<&'a str, Refusal> {
    match text.split_once('=') {
        Some(("", _)) => Err(invalid(field, "has an entry without a name")),
        Some((name, _)) => Ok(name),
        None => Err(invalid(field, &format!("has `{}`, which is not `name=value`", text.escape_debug()))),
    }
}

/// A variable of the environment: engines take any name, and no shell finds one with a blank in it.
fn variable(text: &str) -> Result<(), Refusal> {
    let name = name_of("template.env", text)?;
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let problem =
            format!("has the name `{}`, where blanks and control characters are not allowed", shown(name));
        return Err(invalid("template.env", &problem));
    }
    Ok(())
}

/// Labels of a service, or of its containers: `name=value`, and none of ours.
fn labels(field: &str, list: &[String]) -> Result<(), Refusal> {
    entries(field, list)?;
    for text in list {
        let name = name_of(field, text)?;
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let problem = format!(
                "has the name `{}`, where blanks and control characters are not allowed",
                shown(name)
            );
            return Err(invalid(field, &problem));
        }
        if name.starts_with(RESERVED_LABEL) {
            let problem =
                format!("has `{}`, and what begins with `{RESERVED_LABEL}` is reserved", shown(name));
            return Err(invalid(field, &problem));
        }
    }
    Ok(())
}

/// What somebody sent, as much of it as an error may repeat.
fn shown(text: &str) -> String {
    format!("{}", text.chars().take(64).collect::<String>().escape_debug())
}

fn invalid(field: &str, problem: &str) -> Refusal {
    Refusal::Invalid { field: field.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn sleep_app() -> Revision {
        Revision {
            parents: vec![],
            template: TaskTemplate { image: "busybox".to_string(), ..TaskTemplate::default() },
            placement: Default::default(),
            update: Default::default(),
            partition: Default::default(),
            labels: vec![],
            at: Default::default(),
        }
    }

    #[test]
    fn a_process_is_sent_no_signal_that_has_no_name() {
        let with = |runtime, signal: &str| {
            let mut spec = sleep_app();
            spec.template.stop_signal = signal.to_string();
            if runtime == Runtime::Process {
                spec.template.image.clear();
                spec.template.command = vec!["sleep".to_string()];
            }
            spec.template.runtime = runtime;
            revision(&spec).is_ok()
        };
        for signal in ["", "TERM", "SIGINT", "1", "31"] {
            assert!(with(Runtime::Docker, signal) && with(Runtime::Process, signal), "{signal}");
        }
        for signal in ["32", "37", "64"] {
            assert!(with(Runtime::Docker, signal) && !with(Runtime::Process, signal), "{signal}");
        }
        for signal in ["0", "65", "-1", "SIGNOPE"] {
            assert!(!with(Runtime::Docker, signal) && !with(Runtime::Process, signal), "{signal}");
        }
    }

    fn field_of(result: Result<(), Refusal>) -> String {
        match result {
            Err(Refusal::Invalid { field, .. }) => field,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "sleep-app", "0", &"a".repeat(63)] {
            assert_eq!(name("name", good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "../x", "A", "a\0", "a\n", "a\u{200b}", "🦀", &"a".repeat(64)] {
            assert_eq!(field_of(name("name", bad)), "name", "{bad:?}");
        }
    }

    #[test]
    fn each_field_of_a_template_is_judged() {
        assert_eq!(revision(&sleep_app()), Ok(()));
        type Spoil = fn(&mut Revision);
        let spoiled: [(&str, Spoil); 14] = [
            ("template.image", |r| r.template.image.clear()),
            ("template.image", |r| r.template.image = "x".repeat(4096)),
            ("template.image", |r| r.template.runtime = Runtime::Process),
            ("template.env", |r| r.template.env = vec!["A\0=1".to_string()]),
            ("template.env", |r| r.template.env = vec!["A=1".to_string(); 10_000]),
            ("template.env", |r| r.template.env = vec![format!("A={}", "x".repeat(100_000))]),
            ("template.stop_signal", |r| r.template.stop_signal = "SIGNOPE".to_string()),
            ("template.resources.limit_memory", |r| r.template.resources.limit_memory = 1),
            ("template.labels", |r| r.template.labels = vec!["io.sleepd.node=x".to_string()]),
            ("template.labels", |r| r.template.labels = vec!["a b=x".to_string()]),
            ("labels", |r| r.labels = vec!["io.sleepd.service=x".to_string()]),
            ("labels", |r| r.labels = vec!["team".to_string()]),
            ("template.env", |r| r.template.env = vec!["A B=1".to_string()]),
            ("template.env", |r| r.template.env = vec!["=1".to_string()]),
        ];
        for (field, spoil) in spoiled {
            let mut spec = sleep_app();
            spoil(&mut spec);
            assert_eq!(field_of(revision(&spec)), field);
        }
    }
}
