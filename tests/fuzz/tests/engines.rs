//! What the drivers read that others wrote: engines, the kernel, whoever was at the disk.

use std::collections::HashMap;

use sleep_drivers::foreign::{self, TaskFile};
use sleep_fuzz::bytes::Bytes;
use sleep_fuzz::kept::{golden, texts};
use sleep_fuzz::{target, whatever};
use sleep_wire::engine::{CLUSTER_LABEL, EngineError, Launch};
use sleep_wire::spec::TaskTemplate;
use sleep_wire::task::TaskLabel;
use sleep_wire::{ClusterId, decode, encode};

const CLUSTER: ClusterId = ClusterId([0xab; 32]);

/// The most bytes of an engine's message that are shown.
const MESSAGE: usize = 512;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn task_files(bytes: &[u8]) {
    for file in [TaskFile::Spec, TaskFile::Running, TaskFile::Ended] {
        if let Some(written) = foreign::task_file(file, bytes) {
            assert_eq!(foreign::task_file(file, &written), Some(written), "{file:?}");
        }
    }
    if let Some(task) = foreign::task_of(&text(bytes)) {
        assert!(task.len() == 12 && text(bytes).ends_with(&task));
    }
}

fn task_file_seeds() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"cluster":"ab","label":"00","argv":["sleep","9"],"env":["A=b"],"user":"web:staff",
            "workdir":"/"}"#,
        r#"{"boot":"0f","shim":{"pid":12,"started":345},"main":{"pid":13,"started":346},
            "at":1750000000000}"#,
        r#"{"code":-1,"at":1750000000000}"#,
        "web.2.0123456789ab",
    ])
}

target!(
    /// The process driver's files.
    process_files, 5_000, task_file_seeds(), task_files
);

fn log_lines(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(read) = foreign::log_line(line) {
            assert!(line.ends_with(&read.bytes) && read.at.is_some());
        }
        let piece = foreign::engine_line(line);
        assert!(piece.at.is_some() || piece.bytes.len() + 1 >= line.len(), "nothing is lost");
    }
    let last = foreign::last_lines(bytes);
    assert!(last.len() <= 5 && last.iter().all(|line| line.len() <= 256));
    assert!(!last.iter().any(|line| line.chars().any(char::is_control)), "no terminal obeys it");
}

target!(
    /// Tasks' output.
    output, 5_000,
    texts(&["1750000000000 o one\n1750000000001 e two", "1970-01-01T00:00:01.000000000Z a b\n", "\x1b[31m"]),
    log_lines
);

/// The kernel's files, and what stands in `/etc`.
fn kernel(bytes: &[u8]) {
    let text = text(bytes);
    whatever(foreign::started(&text));
    let (status, syscall) = text.split_once('\n').unwrap_or((&text, ""));
    for signal in [0, 1, 15, 64, 65, u32::MAX] {
        whatever(foreign::hears(status, syscall, signal));
        whatever(foreign::hears(&text, syscall, signal));
    }
    if let Some(signal) = foreign::signal(&text) {
        assert!((1..=64).contains(&signal));
    }
    let (user, file) = text.split_once('\n').unwrap_or((&text, "root:x:0:0:root:/root:/bin/sh"));
    whatever(foreign::user(user, file, file));
}

target!(
    /// Processes and signals.
    kernel_files, 8_000,
    texts(&["42 (a) S 1 (b) S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2",
        "NSpid:\t3\t1\nSigBlk:\t0000000000000000\nSigCgt:\t8000000000014002\n", "128 0x7ffc 0x4ab020",
        "SIGRTMIN+3", "RTMAX-1", "term", "15", "web:staff\nweb:x:33:34::/var/www:/bin/false"]),
    kernel
);

/// A label that is written reads back exactly; any other names no task, or one that reads back too.
fn labels_of(bytes: &[u8]) {
    if let Ok(label) = decode::<TaskLabel>(bytes) {
        let template = TaskTemplate { labels: vec![text(bytes)], ..TaskTemplate::default() };
        let (service_name, fence) = (text(bytes), 0);
        let launch = Launch { cluster: CLUSTER, label: label.clone(), service_name, template, fence };
        assert_eq!(foreign::owner(&foreign::labels(&launch), CLUSTER), Some(Some(label)));
    }
    let labels = |text: &str| {
        let own = [(CLUSTER_LABEL.to_owned(), CLUSTER.to_string())];
        HashMap::from_iter(own.into_iter().chain([("io.sleepd.label".to_owned(), text.to_owned())]))
    };
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let read = foreign::owner(&labels(&hex), CLUSTER);
    assert_eq!(read, Some(decode(bytes).ok()), "as its bytes are read");
    if let Some(Some(label)) = foreign::owner(&labels(&text(bytes)), CLUSTER) {
        assert!(decode::<TaskLabel>(&encode(&label)).is_ok());
    }
}

target!(
    /// The labels of containers and processes.
    container_labels, 4_000, golden("task_label"), labels_of
);

/// An engine's answers. What it says is bounded, whatever it says.
fn engine_answers(bytes: &[u8]) {
    whatever(foreign::inspection(bytes));
    whatever(foreign::event(bytes));
    whatever(foreign::summary(bytes, CLUSTER));
    let mut choices = Bytes::new(bytes);
    let status = [200, 304, 400, 404, 409, 500, choices.short()][choices.below(7)];
    let said = match foreign::refusal(status, text(choices.rest())) {
        EngineError::Unreachable { message }
        | EngineError::PortTaken { message }
        | EngineError::BadCommand { message }
        | EngineError::Other { message } => message,
        EngineError::NoSuchImage { image } => image,
        EngineError::NameTaken { name } => name,
        EngineError::TimedOut { .. } | EngineError::NoSuchContainer | EngineError::Cancelled => String::new(),
    };
    assert!(said.len() <= MESSAGE && !said.chars().any(char::is_control), "{said:?}");
}

fn answer_seeds() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"Id":"a","State":{"Running":false,"ExitCode":137,"OOMKilled":true,
            "StartedAt":"1970-01-01T00:00:01Z",
            "FinishedAt":"9999-12-30T22:00:00Z","Health":{"Status":"unhealthy"}},"Image":"sha256:1"}"#,
        r#"{"Type":"container","Action":"die","Actor":{"ID":"a","Attributes":{"exitCode":"1"}},
            "time":1750000000,"timeNano":1750000000000000000}"#,
        r#"{"time":9223372036854775807}"#,
        r#"{"Id":"a","Labels":{"io.sleepd.label":"00"},"State":"running",
            "Status":"Up 3 s (health: starting)"}"#,
        "ab4No such image: nosuch:1",
        "ab5Conflict. The container name \"/web\" is already in use by container \"ab\"",
        "ab0exec: \"/etc\": permission denied",
        "ab6port is already allocated",
    ])
}

target!(
    /// A container engine.
    engine_api, 4_000, answer_seeds(), engine_answers
);
