//! Several names in one command: all of it is done, and told as one.

use std::process::Stdio;

use serde_json::json;

use crate::fake::{self, Agent, Answer, node_detail, progress, service, snapshot, status};
use crate::transcript::{Session, sleepctl};

/// One that knows operators ada and eve, services web and api, and nodes, of which it will not change pi-1.
fn cluster() -> Agent {
    Agent::start(|asked| {
        let (method, path) = asked.line.split_once(' ').expect("a line has a path");
        if method != "GET" && path.starts_with("/v1/nodes/n1") {
            return fake::problem(409, "last_control", "it would leave the cluster without a control node");
        }
        if path.starts_with("/v1/watch") {
            let gone = ["web", "api"].map(|name| {
                let mut progress = progress(name, 0, &[]);
                progress["removed"] = true.into();
                progress
            });
            let open = ["web", "api"].map(|name| progress(name, 1, &[("pi-1", "running", true)]));
            let is_scale = path.contains("services=s-api");
            return Answer::Events(vec![snapshot(if is_scale { &open } else { &gone }, &[])]);
        }
        match (method, path) {
            ("GET", "/v1/status") => Answer::Json(status(3, 3)),
            ("GET", "/v1/operators/ada") => Answer::Json(fake::operator("o1aaaa", "ada")),
            ("GET", "/v1/operators/eve") => Answer::Json(fake::operator("o2bbbb", "eve")),
            ("GET", "/v1/operators/nobody") => fake::problem(404, "no_such_operator", "no operator `nobody`"),
            ("GET", "/v1/nodes") => Answer::Json(json!([])),
            ("GET", "/v1/nodes/pi-1") => Answer::Json(node_detail(1, "control", &json!({"disk": "ssd"}))),
            ("GET", "/v1/nodes/pi-2") => Answer::Json(node_detail(2, "control", &json!({}))),
            ("GET", "/v1/nodes/pi-3") => Answer::Json(node_detail(3, "control", &json!({}))),
            ("GET", path) if path.ends_with("/tasks") => Answer::Json(json!([])),
            ("GET", path) if path.starts_with("/v1/services/") => {
                let name = if path.contains("api") { "api" } else { "web" };
                Answer::Json(json!({
                    "service": service(name, 1, 1, "nginx", &[]), "spec": {"template": {"image": "nginx"}},
                    "created_at": "", "updated_at": "", "update": "", "conflicts": [],
                }))
            }
            ("GET", other) => fake::problem(404, "no_such_node", &format!("no node `{other}`")),
            _ => Answer::Json(json!({"changed": true, "durability": "shared"})),
        }
    })
}

#[test]
fn what_fails_after_something_was_changed_does_not_say_that_nothing_was() {
    let agent = cluster();
    let mut session = Session::with(&agent);
    for line in [
        "node demote pi-2 pi-1 pi-3",
        "node demote pi-1 pi-2",
        "node rm -y pi-2 pi-1",
        "node drain pi-2 pi-1",
        "node pause -o json pi-2 pi-3 pi-1",
        "operator rm -y ada nobody",
    ] {
        session.run(line);
    }
    session.matches("partly.txt");
    let changes = agent.changes();
    assert!(!changes.iter().any(|change| change.contains("operators")), "all are known first: {changes:?}");
    assert!(
        !changes.iter().any(|change| change.contains("n3") && change.contains("role")),
        "none is tried after: {changes:?}"
    );
}

/// An agent that does what it is told, and then is away for good, or refuses to say how far it is.
#[test]
fn what_fails_while_it_is_waited_for_does_not_say_that_nothing_was_changed() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        line if line.starts_with("GET /v1/watch") => {
            fake::problem(403, "forbidden", "this key may not do that")
        }
        line if line.starts_with("GET /v1/services/") => Answer::Json(json!({
            "service": service("web", 1, 1, "nginx", &[]), "spec": {"template": {"image": "nginx"}},
            "created_at": "", "updated_at": "", "update": "", "conflicts": [],
        })),
        _ => Answer::Json(json!({"changed": true, "durability": "shared"})),
    });
    Session::with(&agent).run("service rm web").run("scale web=1").matches("partly-waiting.txt");
}

#[test]
fn what_nobody_reads_is_done_all_the_same() {
    let agent = cluster();
    let unread = |words: &[&str]| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = sleepctl(agent.socket(), words)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("sleepctl runs");
        output.status.code()
    };
    assert_eq!(unread(&["operator", "rm", "-y", "ada", "eve"]), Some(0));
    assert_eq!(unread(&["node", "promote", "pi-2", "pi-3"]), Some(0));
    assert_eq!(unread(&["node", "rm", "-y", "pi-2", "pi-3"]), Some(0));
    assert_eq!(unread(&["node", "rm", "-y", "pi-2", "pi-1"]), Some(1), "what went wrong is an error");
    let node = |letter: &str, number: u32| format!("/v1/nodes/n{number}{}", letter.repeat(24));
    let (second, third, first) = (node("b", 2), node("c", 3), node("a", 1));
    let expected = [
        "DELETE /v1/operators/o1aaaa null".to_owned(),
        "DELETE /v1/operators/o2bbbb null".to_owned(),
        format!(r#"PUT {second}/role {{"role":"control"}}"#),
        format!(r#"PUT {third}/role {{"role":"control"}}"#),
        format!("DELETE {second} null"),
        format!("DELETE {third} null"),
        format!("DELETE {second} null"),
        format!("DELETE {first} null"),
    ];
    assert_eq!(agent.changes(), expected);
}

#[test]
fn several_are_one_array_and_one_is_one_object() {
    let agent = cluster();
    let mut session = Session::with(&agent);
    for line in [
        "node promote -o json pi-2",
        "node promote -o json pi-2 pi-3",
        "node pause -o json pi-2 pi-3 pi-2",
        "operator rm -y -o json ada eve",
        "service rm -o json web api",
        "scale -o json api=1 web=1",
        "scale --detach -o json api=1 web=1",
    ] {
        session.run(line);
    }
    session.matches("several.txt");
}

#[test]
fn json_goes_before_quiet_in_details_too() {
    let agent = cluster();
    let said = |words: &[&str]| {
        let output = sleepctl(agent.socket(), words).output().expect("sleepctl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for inspect in [["service", "inspect", "web"], ["node", "inspect", "pi-2"]] {
        let with = |flags: &[&str]| said(&[&inspect, flags].concat());
        assert_eq!(with(&["-q", "-o", "json"]), with(&["-o", "json"]));
        assert!(!with(&["-q"]).starts_with('['), "ids alone are no JSON");
    }
}

/// Labels that the agent itself gives its node cannot be taken away from there.
#[test]
fn a_label_that_cannot_be_removed_is_told() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        "GET /v1/nodes/pi-1" => Answer::Json(node_detail(1, "control", &json!({"disk": "ssd"}))),
        _ => {
            let changed = asked.body["labels"].get("zone").is_some();
            Answer::Json(json!({"changed": changed, "durability": "shared"}))
        }
    });
    let mut session = Session::with(&agent);
    session.run("node label pi-1 nope-").run("node label pi-1 disk-").run("node label pi-1 zone- disk-");
    session.matches("labels.txt");
}
