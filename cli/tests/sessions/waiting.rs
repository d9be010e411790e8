//! Changes, and waiting until they are carried out.

use std::process::{Command, Stdio};
use std::slice::from_ref;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::fake::{self, Agent, Answer, node, progress, service, snapshot, status, task};
use crate::transcript::{self, Session, sleepctl};

/// An agent whose watch shows this, and which accepts every change.
fn agent(watch: Answer) -> Agent {
    Agent::start(move |asked| answer(&asked.line, &watch))
}

fn answer(line: &str, watch: &Answer) -> Answer {
    let changed = json!({"changed": true, "durability": "shared"});
    match line {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        "GET /v1/services" => Answer::Json(json!([service("web", 3, 3, "nginx", &[])])),
        "GET /v1/nodes/pi-2" => {
            let mut detail = json!({"labels": {}, "architecture": "", "os": "", "cpu_milli": 0, "memory": 0,
                "runtimes": [], "wall_clock_off_ms": null, "running": 1});
            detail["node"] = node(2, "ready", "active", "control", false);
            Answer::Json(detail)
        }
        "GET /v1/nodes/n2bbbbbbbbbbbbbbbbbbbbbbbb/tasks" => {
            Answer::Json(json!([task("web", 2, "pi-2", "running", 9)]))
        }
        "POST /v1/services" | "PUT /v1/services/s-web-zzzzzzzzzzzzzzzzzz" => Answer::Json(json!({
            "id": "s-web-zzzzzzzzzzzzzzzzzz", "name": "web", "revision": "r2",
            "changed": true, "durability": "shared",
        })),
        _ if line.starts_with("GET /v1/services/s-web-zzzzzzzzzzzzzzzzzz/tasks") => Answer::Json(json!([])),
        _ if line.starts_with("GET /v1/services/") => Answer::Json(json!({
            "service": service("web", 3, 3, "nginx", &[]),
            "spec": {"template": {"image": "nginx", "env": ["A=1"]}},
            "created_at": "", "updated_at": "", "update": "", "conflicts": [],
        })),
        _ if line.starts_with("GET /v1/watch") => watch.clone(),
        _ => Answer::Json(changed),
    }
}

fn crashed() -> Value {
    let mut task = task("web", 1, "pi-1", "failed", 1);
    task["exit_code"] = 3.into();
    task["last_lines"] = json!(["one", "two", "three", "four", "five", "no such \u{1b}[2Jfile"]);
    task
}

/// The first change, a line a part.
fn sent(agent: &Agent) -> String {
    agent.changes()[0].replace(',', ",\n") + "\n"
}

fn services(services: &[Value]) -> Value {
    snapshot(services, &[])
}

#[test]
fn a_service_is_created_and_waited_for() {
    let agent = agent(Answer::Events(vec![
        services(&[progress("web", 2, &[("", "pending", false), ("", "pending", false)])]),
        services(&[progress("web", 2, &[("pi-1", "preparing", false), ("pi-2", "preparing", false)])]),
        services(&[progress("web", 2, &[("pi-1", "running", false), ("pi-2", "preparing", false)])]),
        services(&[progress("web", 2, &[("pi-1", "running", true), ("pi-2", "running", true)])]),
    ]));
    let mut session = Session::with(&agent);
    session.run("service create --name web --replicas 2 -e A=1 -p 8080:80 nginx nginx -g daemon");
    session.run("run -q -n web --replicas 2 nginx").run("run -o name -n web --replicas 2 nginx");
    session.run("run --detach -n web --replicas 2 nginx").run("run -o json -n web --replicas 2 nginx");
    session.matches("create.txt");
    transcript::matches(&sent(&agent), "create.request.txt");
}

#[test]
fn a_scale_is_not_done_while_the_agent_has_not_heard_of_it() {
    let watches = AtomicU32::new(0);
    let agent = Agent::start(move |asked| {
        // Whoever accepted it has heard of it; whoever is asked after that one went away may not have.
        let first =
            watches.fetch_add(u32::from(asked.line.starts_with("GET /v1/watch")), Ordering::Relaxed) == 0;
        let watch = if first {
            Answer::Ending(Vec::new())
        } else {
            Answer::Events(vec![
                services(&[progress("web", 1, &[("pi-1", "running", true)])]),
                services(&[progress("web", 2, &[("pi-1", "running", true), ("pi-2", "starting", false)])]),
                services(&[progress("web", 2, &[("pi-1", "running", true), ("pi-2", "running", true)])]),
            ])
        };
        answer(&asked.line, &watch)
    });
    let mut session = Session::with(&agent);
    session.run("service scale web=2").run("scale web=2 web=3").matches("scale.txt");
    assert_eq!(agent.changes(), [r#"PUT /v1/scale {"services":{"s-web-zzzzzzzzzzzzzzzzzz":2}}"#]);
}

#[test]
fn a_scale_that_is_overtaken_by_another_is_over() {
    let asked_for = progress("web", 9, &[("pi-1", "running", true)]);
    let mut overtaken = progress("web", 4, &[("pi-1", "running", true)]);
    overtaken["scaled_at"] = "2001-01-02T12:00:03Z".into();
    overtaken["scaled_by"] = "pi-2".into();
    let mut unknown = overtaken.clone();
    unknown["desired"] = 1.into();
    unknown["scaled_at"] = Value::Null;
    // Overtaken while it was waited for, and before: whoever accepted it shows it, or what came after it.
    let later = agent(Answer::Events(vec![services(&[asked_for]), services(from_ref(&overtaken))]));
    let mut session = Session::with(&later);
    session.run("scale web=9");
    let mut text = session.text().to_owned();
    for watch in [overtaken, unknown] {
        let agent = agent(Answer::Events(vec![services(&[watch])]));
        let mut session = Session::with(&agent);
        session.run("scale web=9");
        text += session.text();
    }
    transcript::matches(&text, "superseded.txt");
}

#[test]
fn an_update_changes_what_was_typed_and_nothing_else() {
    let agent = agent(Answer::Events(vec![services(&[progress("web", 1, &[("pi-1", "running", true)])])]));
    let mut session = Session::with(&agent);
    session.run("service update --image nginx:2 --env-rm A --env B=2 --update-order start-first web");
    session.run("service update --env-rm NONE web").run("service update web").matches("update.txt");
    transcript::matches(&sent(&agent), "update.request.txt");
}

#[test]
fn a_removal_waits_for_the_last_task_and_names_nodes_that_are_down() {
    let ending = |ending: u32, down: &[&str]| {
        let mut progress = progress("web", 0, &[]);
        progress["removed"] = true.into();
        progress["ending"] = ending.into();
        progress["converged"] = (ending == 0).into();
        progress["waiting_for_down"] = json!(down);
        progress
    };
    let not_heard = progress("web", 1, &[("pi-1", "running", true)]);
    let agent = agent(Answer::Events(vec![
        services(&[not_heard]),
        services(&[ending(2, &["pi-3"])]),
        services(&[ending(0, &["pi-3"])]),
    ]));
    Session::with(&agent).run("service rm web").matches("rm.txt");
}

/// Why it takes as long as it does: a grace that runs, or an engine that does not answer.
#[test]
fn a_task_that_does_not_end_is_told_with_its_reason() {
    let leaving = |state: &str, killed_at: Value, trouble: &str| {
        let mut progress = progress("web", 0, &[]);
        progress["removed"] = true.into();
        progress["ending"] = 1.into();
        progress["converged"] = false.into();
        progress["leaving"] = json!([{
            "name": "web.1", "node": "pi-2", "state": state, "killed_at": killed_at, "trouble": trouble,
        }]);
        services(&[progress])
    };
    let mut over = progress("web", 0, &[]);
    over["removed"] = true.into();
    over["converged"] = true.into();
    let watch = vec![
        leaving("running", Value::Null, ""),
        leaving("stopping", "2001-01-02T12:00:10Z".into(), ""),
        leaving("stopping", "2001-01-02T12:00:10Z".into(), "docker is ill: it cannot be reached"),
    ];
    let mut ends = watch.clone();
    ends.push(services(&[over]));
    let (ends, never) = (agent(Answer::Events(ends)), agent(Answer::Events(watch)));
    let (mut session, mut late) = (Session::with(&ends), Session::with(&never));
    session.run("service rm web");
    late.run("service rm web --timeout 300ms");
    transcript::matches(&(session.text().to_owned() + late.text()), "leaving.txt");
}

/// A node that does not answer is not known to be empty.
#[test]
fn a_drain_of_a_node_that_is_down_claims_nothing() {
    let gone = json!({"id": "n2bbbbbbbbbbbbbbbbbbbbbbbb", "name": "pi-2", "status": "down",
        "availability": "drained", "tasks": 1, "converged": true});
    let agent = Agent::start(move |asked| match asked.line.as_str() {
        "GET /v1/nodes/n2bbbbbbbbbbbbbbbbbbbbbbbb/tasks" => Answer::Json(json!([])),
        line => answer(line, &Answer::Events(vec![snapshot(&[], from_ref(&gone))])),
    });
    Session::with(&agent).run("node drain pi-2").matches("drain-down.txt");
}

/// With fewer than three control nodes one has the vote.
#[test]
fn a_demotion_says_what_may_not_be_lost_then() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/nodes" => Answer::Json(json!([
            node(1, "ready", "active", "control", true),
            node(2, "ready", "active", "worker", false),
            node(3, "ready", "active", "control", false),
        ])),
        line => answer(line, &Answer::Ending(Vec::new())),
    });
    Session::with(&agent).run("node demote pi-2").run("node promote pi-2").matches("demote.txt");
}

/// The images are there; the engines are not.
#[test]
fn who_has_no_engine_is_told_of_plain_processes() {
    let mut stuck = progress("web", 1, &[("", "pending", false)]);
    stuck["slots"][0]["refusals"] =
        json!([{"node": "pi-1", "filter": "runtime", "reason": "has no runtime `docker`"}]);
    let mut stuck = services(&[stuck]);
    stuck["stuck"] = true.into();
    let agent = agent(Answer::Events(vec![stuck]));
    Session::with(&agent).run("run -n web nginx").matches("no-engine.txt");
}

#[test]
fn what_is_followed_is_followed_for_as_long_as_was_typed() {
    let agent = Agent::start(|asked| {
        let is_logs = asked.line.contains("/logs?");
        let line = json!({"task": "web.1", "id": "t1", "node": "pi-1", "stream": "stdout",
            "at": "2001-01-02T12:00:00Z", "line": "tick"});
        match asked.line.as_str() {
            _ if is_logs => Answer::Open(vec![line]),
            "GET /v1/services/web/tasks" => Answer::Json(json!([])),
            other => answer(other, &Answer::Ending(Vec::new())),
        }
    });
    Session::with(&agent).run("logs -f web --timeout 300ms").matches("follow-timeout.txt");
}

#[test]
fn a_drain_waits_for_the_node_and_for_what_ran_there() {
    let node = |availability: &str, tasks: u32| {
        json!({"id": "n2bbbbbbbbbbbbbbbbbbbbbbbb", "name": "pi-2", "status": "ready",
               "availability": availability,
               "tasks": tasks, "converged": availability == "active" || tasks == 0})
    };
    let well = progress("web", 2, &[("pi-1", "running", true), ("pi-2", "running", true)]);
    let moving = progress("web", 2, &[("pi-1", "running", true), ("pi-1", "starting", false)]);
    let moved = progress("web", 2, &[("pi-1", "running", true), ("pi-1", "running", true)]);
    let glances = AtomicU32::new(0);
    let agent = Agent::start(move |asked| {
        let first =
            glances.fetch_add(u32::from(asked.line.starts_with("GET /v1/watch")), Ordering::Relaxed) == 0;
        let drain = vec![
            snapshot(from_ref(&well), &[node("active", 1)]),
            snapshot(from_ref(&well), &[node("drained", 1)]),
            snapshot(from_ref(&moving), &[node("drained", 0)]),
            snapshot(from_ref(&moved), &[node("drained", 0)]),
        ];
        let watch = if first { vec![services(from_ref(&well))] } else { drain };
        answer(&asked.line, &Answer::Events(watch))
    });
    let mut session = Session::with(&agent);
    session.run("node drain pi-2").matches("drain.txt");
    assert_eq!(
        agent.changes(),
        [r#"PUT /v1/nodes/n2bbbbbbbbbbbbbbbbbbbbbbbb/availability {"availability":"drained"}"#]
    );
}

#[test]
fn what_cannot_be_placed_is_told_with_every_node_s_reason() {
    let mut stuck =
        progress("web", 3, &[("pi-1", "running", true), ("", "pending", false), ("", "pending", false)]);
    for slot in [1, 2] {
        stuck["slots"][slot]["refusals"] = json!([
            {"node": "pi-1", "filter": "memory", "reason": "needs 256 MiB, 198 free"},
            {"node": "nuc", "filter": "draining", "reason": "drained 12m ago"},
        ]);
    }
    let mut stuck = services(&[stuck]);
    stuck["stuck"] = true.into();
    let agent = agent(Answer::Events(vec![stuck]));
    Session::with(&agent).run("scale web=3").matches("stuck.txt");
}

#[test]
fn time_is_bounded_and_the_work_goes_on() {
    let agent = agent(Answer::Events(vec![services(&[progress(
        "web",
        2,
        &[("pi-1", "running", true), ("pi-2", "preparing", false)],
    )])]));
    Session::with(&agent).run("scale web=2 --timeout 300ms").matches("timeout.txt");
}

#[test]
fn a_crash_loop_shows_how_the_task_ended() {
    let slot = |state: &str, message: &str| {
        let mut progress = progress("web", 1, &[("pi-1", state, false)]);
        progress["slots"][0]["message"] = message.into();
        services(&[progress])
    };
    let watch = Answer::Events(vec![
        slot("starting", ""),
        slot("failed", "exited with code 3"),
        slot("starting", ""),
        slot("assigned", "attempt 3 in 10 s"),
        slot("running", ""),
        slot("assigned", "attempt 4 in 20 s"),
        slot("running", ""),
    ]);
    let asked_for_tasks = AtomicU32::new(0);
    let agent = Agent::start(move |asked| {
        if !asked.line.starts_with("GET /v1/services/s-web-zzzzzzzzzzzzzzzzzz/tasks") {
            return answer(&asked.line, &watch);
        }
        let failures = asked_for_tasks.fetch_add(1, Ordering::Relaxed);
        let crash = |number: u32| {
            let mut crash = crashed();
            crash["id"] = format!("t{number}").into();
            crash
        };
        Answer::Json((0..failures).map(crash).collect())
    });
    Session::with(&agent).run("run -n web nginx").matches("crash.txt");
}

/// What ends well and is started again each time never runs for long, however often it is waited for.
#[test]
fn a_loop_of_what_ends_well_is_a_loop() {
    let slot = |state: &str, message: &str| {
        let mut progress = progress("web", 1, &[("pi-1", state, false)]);
        progress["slots"][0]["message"] = message.into();
        services(&[progress])
    };
    let run = |last: Value| {
        let watch = Answer::Events(vec![
            slot("starting", ""),
            slot("assigned", "attempt 2 in 5 s"),
            slot("complete", ""),
            slot("running", ""),
            last,
        ]);
        let asked_for_tasks = AtomicU32::new(0);
        let agent = Agent::start(move |asked| {
            if !asked.line.starts_with("GET /v1/services/s-web-zzzzzzzzzzzzzzzzzz/tasks") {
                return answer(&asked.line, &watch);
            }
            let ends = asked_for_tasks.fetch_add(1, Ordering::Relaxed);
            let end = |number: u32| {
                let mut end = task("web", 1, "pi-1", "complete", 1);
                end["id"] = format!("t{number}").into();
                end["exit_code"] = 0.into();
                end
            };
            Answer::Json((0..ends).map(end).collect())
        });
        let mut session = Session::with(&agent);
        session.run("run -n web nginx");
        session.text().to_owned()
    };
    let again = run(slot("assigned", "attempt 4 in 20 s (restart 3 of 3)"));
    transcript::matches(&(again + &run(slot("complete", "over"))), "loop.txt");
}

#[test]
fn failures_of_the_past_are_not_told_again() {
    let watch = Answer::Events(vec![
        services(&[progress("web", 1, &[("pi-1", "failed", false)])]),
        services(&[progress("web", 1, &[("pi-1", "running", true)])]),
    ]);
    let agent = Agent::start(move |asked| {
        let is_tasks = asked.line.starts_with("GET /v1/services/s-web-zzzzzzzzzzzzzzzzzz/tasks");
        if is_tasks { Answer::Json(json!([crashed()])) } else { answer(&asked.line, &watch) }
    });
    Session::with(&agent).run("scale web=1").matches("past.txt");
}

#[test]
fn an_update_that_stands_still_fails() {
    let mut paused = progress("web", 2, &[("pi-1", "running", true), ("pi-2", "running", false)]);
    paused["update"] = "paused, 1 of 2 updated: web.2 failed".into();
    let agent = agent(Answer::Events(vec![services(&[paused])]));
    Session::with(&agent).run("service update --image nginx:2 web").matches("paused.txt");
}

#[test]
fn an_agent_that_goes_away_is_waited_for() {
    let watches = AtomicU32::new(0);
    let agent = Agent::start(move |asked| {
        let done = services(&[progress("web", 1, &[("pi-1", "running", true)])]);
        let open = services(&[progress("web", 1, &[("pi-1", "starting", false)])]);
        let first =
            watches.fetch_add(u32::from(asked.line.starts_with("GET /v1/watch")), Ordering::Relaxed) == 0;
        let watch = if first { Answer::Ending(vec![open]) } else { Answer::Events(vec![done]) };
        answer(&asked.line, &watch)
    });
    Session::with(&agent).run("scale web=1").matches("away.txt");
}

/// By its name a command is done once, however often it is sent.
#[test]
fn a_change_that_was_cut_off_is_sent_again() {
    let changes = AtomicU32::new(0);
    let agent = Agent::start(move |asked| {
        let is_first = asked.line == "PUT /v1/scale" && changes.fetch_add(1, Ordering::Relaxed) == 0;
        let done = services(&[progress("web", 1, &[("pi-1", "running", true)])]);
        if is_first { Answer::HangUp } else { answer(&asked.line, &Answer::Events(vec![done])) }
    });
    Session::with(&agent).run("scale web=1").matches("cut.txt");
    let keys: Vec<String> = agent
        .asked()
        .into_iter()
        .filter(|asked| asked.line == "PUT /v1/scale")
        .map(|asked| asked.key)
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[0].len(), 26);
}

#[test]
fn a_watch_that_was_cut_off_goes_on_where_it_was() {
    let watches = AtomicU32::new(0);
    let agent = Agent::start(move |asked| {
        let events =
            if asked.line.starts_with("GET /v1/watch") && watches.fetch_add(1, Ordering::Relaxed) == 0 {
                let begins = services(&[progress("web", 1, &[("pi-1", "starting", false)])]);
                Answer::Ending(vec![begins])
            } else {
                Answer::Events(vec![services(&[progress("web", 1, &[("pi-1", "running", true)])])])
            };
        answer(&asked.line, &events)
    });
    Session::with(&agent).run("scale web=1");
    let watched = agent.asked().into_iter().filter(|asked| asked.line.starts_with("GET /v1/watch"));
    let heard: Vec<String> = watched.map(|asked| asked.heard).collect();
    assert_eq!(heard, ["", "e1"]);
}

#[test]
fn what_an_agent_may_do_twice_is_not_sent_again() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        _ => Answer::HangUp,
    });
    Session::with(&agent).run("cluster leave -y").run("cluster token create").matches("hangup.txt");
    assert_eq!(agent.changes().len(), 2);
}

#[test]
fn a_task_that_is_not_tried_again_is_a_failure() {
    let mut over = progress("web", 2, &[("pi-1", "failed", false), ("pi-2", "complete", false)]);
    over["converged"] = true.into();
    over["slots"][0]["message"] = "exited with code 3".into();
    let given_up = agent(Answer::Events(vec![services(from_ref(&over))]));
    over["slots"][0] = over["slots"][1].clone();
    let complete = agent(Answer::Events(vec![services(&[over])]));
    let mut session = Session::with(&given_up);
    session.run("run -n web --replicas 2 --restart-condition none nginx").matches("given_up.txt");
    let mut session = Session::with(&complete);
    session.run("run -n web --replicas 2 --restart-condition none nginx").matches("complete.txt");
}

#[test]
fn the_next_host_takes_over() {
    let open = services(&[progress("web", 2, &[("pi-1", "starting", false), ("pi-2", "starting", false)])]);
    let done = services(&[progress("web", 2, &[("pi-1", "running", true), ("pi-2", "running", true)])]);
    let first = agent(Answer::Events(vec![open]));
    let second =
        agent(Answer::Events(vec![services(&[progress("web", 1, &[("pi-1", "running", true)])]), done]));
    let hosts = format!("{},{}", first.socket().display(), second.socket().display());
    let mut child = sleepctl(hosts.as_ref(), &["scale", "web=2"]);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sleepctl runs");
    first.wait_until_asked("GET /v1/watch");
    drop(first);
    let output = child.wait_with_output().expect("sleepctl ends");
    transcript::matches(&transcript::transcript("scale web=2", &output), "failover.txt");
}

#[test]
fn ctrl_c_ends_the_waiting_and_not_the_work() {
    let agent = agent(Answer::Events(vec![services(&[progress("web", 1, &[("pi-1", "starting", false)])])]));
    let mut command = sleepctl(agent.socket(), &["scale", "web=1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sleepctl runs");
    agent.wait_until_asked("GET /v1/watch");
    // What it was asked it has answered, but the client may not have read that yet.
    let pid = child.id().to_string();
    let interrupted = Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
    assert!(interrupted.success());
    let output = child.wait_with_output().expect("sleepctl ends");
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.ends_with(
            "error: interrupted: the work goes on without being watched\n\nhint: sleepctl ps web\n"
        ),
        "{said}"
    );
}

#[test]
fn what_is_on_one_node_alone_is_a_warning() {
    let agent = Agent::start(|asked| {
        if asked.line == "PUT /v1/scale" {
            return Answer::Json(json!({"changed": true, "durability": "here_only"}));
        }
        let done = services(&[progress("web", 1, &[("pi-1", "running", true)])]);
        answer(&asked.line, &Answer::Events(vec![done]))
    });
    Session::with(&agent).run("scale web=1").matches("here_only.txt");
    let agent = Agent::start(|_| fake::problem(503, "busy", "the agent is stopping"));
    Session::with(&agent).run("scale web=1").matches("stopping.txt");
}
