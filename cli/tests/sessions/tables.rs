//! Every table, in every form.

use serde_json::{Value, json};

use crate::fake::{self, Agent, Answer, node, service, status, task};
use crate::transcript::{Session, sleepctl};

fn cluster() -> Agent {
    Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        "GET /v1/nodes" => Answer::Json(json!([
            node(1, "ready", "active", "control", false),
            node(2, "ready", "drained", "control", true),
            node(3, "ill", "active", "worker", false),
        ])),
        "GET /v1/nodes/pi-1" => Answer::Json(detail()),
        "GET /v1/services" => Answer::Json(json!([
            service("sleep-app", 3, 3, "busybox:1.36", &[]),
            service(
                "web",
                1,
                2,
                "ghcr.io/somebody/a-rather-long-name-of-an-image:1.27.3-alpine",
                &["8080->80/tcp"]
            ),
        ])),
        "GET /v1/services/web" => Answer::Json(service_detail()),
        "GET /v1/services/s-sleep-app-zzzzzzzzzzzzzzzzzz/tasks?history=true"
        | "GET /v1/services/sleep-app/tasks?history=true"
        | "GET /v1/nodes/n1aaaaaaaaaaaaaaaaaaaaaaaa/tasks" => Answer::Json(tasks()),
        "GET /v1/services/s-web-zzzzzzzzzzzzzzzzzz/tasks?history=true" => {
            Answer::Json(json!([task("web", 1, "pi-2", "running", 7200)]))
        }
        "GET /v1/services/web/history" => Answer::Json(revisions()),
        "GET /v1/tokens" => Answer::Json(tokens()),
        "GET /v1/operators" => Answer::Json(operators()),
        "GET /v1/why/web.2" => Answer::Json(why()),
        "GET /v1/why/web" => Answer::Json(why_service()),
        "GET /v1/services/loop/tasks?history=true" => Answer::Json(crash_loop()),
        "POST /v1/plan" => Answer::Json(planned()),
        _ => fake::problem(404, "no_such_path", "no such path in this API"),
    })
}

fn detail() -> Value {
    json!({
        "node": node(1, "ready", "active", "control", true), "labels": {"disk": "ssd"},
        "architecture": "aarch64",
        "os": "linux", "cpu_milli": 4000, "memory": 1 << 30,
        "wall_clock_off_ms": -12, "running": 4,
    })
}

fn service_detail() -> Value {
    let template = json!({"image": "nginx", "ports": [
        {"host_ip": "", "published": 8080, "target": 80, "protocol": "tcp"},
    ]});
    json!({
        "service": service("web", 1, 2, "nginx", &["8080->80/tcp"]), "spec": {"template": template},
        "created_at": "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:05.678Z", "update": "",
        "conflicts": [],
    })
}

fn tasks() -> Value {
    let mut failed = task("sleep-app", 2, "pi-3", "failed", 400);
    failed["history"] = true.into();
    failed["exit_code"] = 137.into();
    let mut stopped = task("sleep-app", 2, "pi-2", "stopped", 200);
    stopped["history"] = true.into();
    (stopped["exit_code"], stopped["error"]) = (143.into(), "".into());
    let mut gone = task("sleep-app", 11, "pi-2", "stopped", 100);
    gone["history"] = true.into();
    let mut pending = task("sleep-app", 10, "", "pending", 5);
    pending["since"] = Value::Null;
    pending["id"] = "".into();
    pending["desired"] = "running".into();
    let running = |slot, node| task("sleep-app", slot, node, "running", 180);
    json!([failed, running(2, "pi-1"), pending, stopped, gone, running(1, "pi-1")])
}

fn revisions() -> Value {
    let at = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(7201)).to_string();
    json!([
        {"id": "r2", "at": at, "author": "pi-2", "image": "nginx:1.27", "current": true, "parents": ["r1"],
         "changes": ["image nginx:1.26 → nginx:1.27", "env"]},
        {"id": "r1", "at": at, "author": "pi-1", "image": "nginx:1.26", "current": false, "parents": [],
         "changes": []},
    ])
}

fn tokens() -> Value {
    let at = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(601)).to_string();
    let token = |id: &str, left: Value, revoked: bool| {
        json!({"id": id, "role": "control", "single_use": revoked, "expires_in_ms": left, "revoked": revoked,
               "created_at": at, "creator": "pi-1"})
    };
    json!([
        token("k1", json!(3_000_000), false),
        token("k2", json!(0), false),
        token("k3", Value::Null, true)
    ])
}

fn operators() -> Value {
    let at = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(601)).to_string();
    json!([
        {"id": "o1aaaaaaaaaaaaaaaaaaaaaaaa", "name": "ada", "created_at": at, "creator": "pi-1"},
        {"id": "o2bbbbbbbbbbbbbbbbbbbbbbbb", "name": "eve", "created_at": at, "creator": "pi-2"},
    ])
}

fn why() -> Value {
    json!({
        "subject": "web.2", "summary": "web.2 is pending: it starts once a node can take it",
        "at": "2001-01-02T14:02:10Z", "last_lines": ["cannot bind", "giving up"],
        "story": [{"at": "2001-01-02T14:02:03.100Z", "text": "running on pi-1"},
                  {"at": "2001-01-02T14:02:09.200Z", "text": "pi-1 is down: web.2 goes to nuc"}],
        "refusals": [{"node": "pi-1", "filter": "memory", "reason": "needs 256 MiB, 198 free"},
                     {"node": "nuc", "filter": "draining", "reason": "drained 12m ago"}],
    })
}

fn why_service() -> Value {
    let slot = |name: &str, summary: &str, settled: bool| {
        let mut slot = json!({"name": name, "settled": settled});
        slot["summary"] = summary.into();
        slot
    };
    json!({
        "subject": "web", "summary": "web: 1 of 3 tasks as they should be; 1 assigned, 1 pending",
        "at": "", "story": [], "last_lines": ["cannot bind", "giving up"],
        "slots": [slot("web.2", "assigned on nuc; it failed 3 times, exit code 2", false),
                  slot("web.10", "pending: it starts once a node can take it", false),
                  slot("web.1", "running on pi-1", true)],
        "refusals": [{"node": "pi-1", "filter": "memory", "reason": "needs 256 MiB, 198 free"},
                     {"node": "nuc", "filter": "draining", "reason": "drained"}],
    })
}

fn crash_loop() -> Value {
    let mut failed = task("loop", 1, "pi-2", "failed", 3);
    (failed["history"], failed["exit_code"]) = (true.into(), 139.into());
    failed["last_lines"] = json!(["cannot bind", "giving up"]);
    let mut earlier = failed.clone();
    earlier["since"] = "2001-01-02T14:02:09Z".into();
    earlier["last_lines"] = json!(["another story"]);
    let mut waits = task("loop", 1, "pi-2", "assigned", 2);
    waits["error"] = "attempt 3 (restart 2 of 5)".into();
    waits["next_attempt_at"] =
        (jiff::Timestamp::now() + jiff::SignedDuration::from_millis(3_900)).to_string().into();
    json!([earlier, failed, waits, task("loop", 2, "pi-1", "running", 60)])
}

fn planned() -> Value {
    let moved = |name: &str, from: &str, to: &str, why: &str| {
        let mut moved = json!({"name": name, "from": from, "to": to});
        moved["why"] = why.into();
        moved
    };
    json!({
        "changes": ["web: 3 → 5 replicas"],
        "moves": [moved("web.4", "", "nuc", "it is wanted: least loaded; 2 of 3 nodes could take it"),
                  moved("web.1", "pi-1", "pi-2", "pi-1 drains"),
                  moved("web.2", "pi-1", "pi-1", "the service was updated"),
                  moved("web.10", "nuc", "", "it is no longer wanted")],
        "pending": [{"name": "web.5", "refusals": [
            {"node": "pi-1", "filter": "memory", "reason": "needs 256 MiB, 198 free"},
            {"node": "nuc", "filter": "draining", "reason": "drained"}]}],
        "complete": true, "nodes": 5, "seen": 3, "seen_from": "pi-1",
    })
}

#[test]
fn plans_in_words_and_as_data() {
    let agent = cluster();
    let mut session = Session::with(&agent);
    for line in ["plan drain pi-1", "plan -q drain pi-1", "node activate pi-1 --dry-run -q"] {
        session.run(line);
    }
    session.matches("plan.txt");
    // Nothing else was asked of it.
    let lines: Vec<String> = agent.changes();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.starts_with("POST /v1/plan ")), "{lines:?}");
}

#[test]
fn a_crash_loop_in_a_list_tells_its_last_lines() {
    let agent = cluster();
    let said = |words: &[&str]| {
        let output = sleepctl(agent.socket(), words).output().expect("sleepctl runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = "loop.1 failed on pi-2 with exit code 139 (signal 11)\n  | cannot bind\n  | giving up\n";
    assert_eq!(said(&["ps", "loop"]), told);
    let listed = sleepctl(agent.socket(), &["ps", "loop"]).output().expect("sleepctl runs").stdout;
    assert!(String::from_utf8_lossy(&listed).contains("attempt 3 (restart 2 of 5) in 4 s"), "{listed:?}");
    assert_eq!(said(&["ps", "-q", "loop"]), "");
    assert_eq!(said(&["ps", "-o", "json", "loop"]), "");
}

#[test]
fn tables_of_nodes() {
    let agent = cluster();
    let mut session = Session::with(&agent);
    for line in [
        "node ls",
        "node ls -o wide",
        "node ls -q",
        "node ls -o name",
        "node ls -o json",
        "node inspect pi-1",
    ] {
        session.run(line);
    }
    session.matches("nodes.txt");
}

#[test]
fn tables_of_services() {
    let agent = cluster();
    let mut session = Session::with(&agent);
    for line in [
        "service ls",
        "ls -o wide",
        "ls -q",
        "ls -o name",
        "ls -o json",
        "service history web",
        "why web.2",
        "why web",
    ] {
        session.run(line);
    }
    session.run("service inspect web").matches("services.txt");
}

#[test]
fn tables_of_tasks() {
    let agent = cluster();
    let mut session = Session::with(&agent);
    for line in [
        "service ps sleep-app",
        "ps -o wide sleep-app",
        "ps",
        "ps -o json sleep-app",
        "node ps",
        "ps -q sleep-app",
    ] {
        session.run(line);
    }
    session.matches("tasks.txt");
}

#[test]
fn what_an_agent_says_of_its_cluster() {
    let agent = cluster();
    let mut session = Session::with(&agent);
    for line in [
        "cluster status",
        "cluster info -q",
        "cluster token ls",
        "operator ls",
        "operator ls -o name",
        "version",
        "version -o json",
    ] {
        session.run(line);
    }
    session.matches("cluster.txt");
}

#[test]
fn a_minority_says_so_first() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(2, 5)),
        _ => Answer::Json(json!([service("web", 1, 1, "nginx", &[])])),
    });
    Session::with(&agent).run("ls").matches("minority.txt");
}
