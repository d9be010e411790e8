//! What agents answer to questions: why, what if, and what tasks wrote.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sleep_tests::agents::Agents;
use sleep_tests::wait::until;
use sleep_tests::{Error, Result};

/// For what a cluster does by itself, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_crash_loop_says_how_it_ends_and_what_it_wrote() -> Result<()> {
    let agents = Agents::formed(3)?;
    let ctl = agents.ctl(1);
    let answer =
        ctl.attempt("service create --name crash --restart-delay 1s --runtime process -- ls /none-such")?;
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    for said in ["crash.1 failed on ", " with exit code 2", "  | ls: "] {
        assert!(answer.stderr.contains(said), "{}", answer.stderr);
    }
    // Between two attempts most of the time, and asked through whatever node, once it has heard of the last.
    for number in 1..=3 {
        let ctl = agents.ctl(number);
        until(&format!("node{number} reads what it wrote"), SOON, || {
            ctl.run("logs crash").ok()?.stderr.contains("| ls: ").then_some(())
        })?;
        until(&format!("node{number} says why"), SOON, || {
            let why = ctl.run("why crash").ok()?.stdout;
            (why.contains("failed") && why.contains("exit code 2")).then_some(())
        })?;
    }
    until("ps tells the last lines while nothing runs", SOON, || {
        let answer = ctl.run("service ps crash").ok()?;
        (answer.stderr.contains("exit code 2") && answer.stderr.contains("  | ls: ")).then_some(())
    })
}

#[test]
fn what_has_no_node_is_listed_with_the_reasons() -> Result<()> {
    let agents = Agents::formed(3)?;
    let create =
        "service create --name far --replicas 2 --constraint node.labels.disk==ssd --runtime process";
    let answer = agents.ctl(1).attempt(&format!("{create} -- sleep infinity"))?;
    assert_eq!(answer.code, 5, "{}", answer.stderr);
    let reason = "constraint `node.labels.disk==ssd` does not hold";
    for subject in ["far", "far.2"] {
        let why = agents.ctl(2).run(&format!("why {subject}"))?.stdout;
        assert!(why.contains("pending: it starts once a node can take it"), "{why}");
        for node in ["node1", "node2", "node3"] {
            let line = why.lines().find(|line| line.trim_start().starts_with(node));
            assert!(line.is_some_and(|line| line.ends_with(reason)), "{node}: {why}");
        }
    }
    agents.ctl(3).refused("why far.3", 1, "no task `far.3`")?;
    let tasks = agents.ctl(3).wanted("far")?;
    let shown: Vec<_> = tasks.iter().map(|task| (task.name.as_str(), task.state.as_str())).collect();
    assert_eq!(shown, [("far.1", "pending"), ("far.2", "pending")]);
    assert!(tasks.iter().all(|task| task.error.starts_with(&format!("no suitable node ({reason}: "))));
    Ok(())
}

#[test]
fn why_tells_who_was_suspected_and_who_chose() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    let create = "service create --name web --replicas 3 --runtime process -- sleep infinity";
    agents.ctl(1).run(create)?;
    let task = agents.ctl(1).wanted("web")?.into_iter().find(|task| task.node == "node3");
    let task = task.ok_or_else(|| Error::new("nothing runs on node3"))?.name;
    agents.kill_agent(3)?;
    let moved = |why: &str| why.contains(" moved node3 → ") && why.contains(" and is running");
    let why = until("the task runs elsewhere", SOON, || {
        let why = agents.ctl(1).run(&format!("why {task}")).ok()?.stdout;
        moved(&why).then_some(why)
    })?;
    let lines: Vec<&str> = why.lines().collect();
    assert!(lines[0].starts_with(&format!("{task} moved node3 → ")), "{why}");
    let at = |words: &[&str]| {
        lines
            .iter()
            .position(|line| words.iter().all(|word| line.contains(word)))
            .ok_or_else(|| Error::new(format!("{words:?} is not told: {why}")))
    };
    let suspected = at(&["node3 suspected by node"])?;
    let decided = at(&["node3 is down: leader node", " chose node", "nodes could take it"])?;
    let runs = at(&["running on node", "unavailable for "])?;
    assert!(suspected < decided && decided < runs, "{why}");
    // Of a node: its life, as the node asked saw it.
    let why = agents.ctl(1).run("why node3")?.stdout;
    assert!(why.starts_with("node3 is down, active, and has "), "{why}");
    assert!(why.contains("node3 answers") && why.contains("node3 suspected by node"), "{why}");
    Ok(())
}

#[test]
fn a_plan_changes_nothing_and_comes_true() -> Result<()> {
    let agents = Agents::formed(3)?;
    let create = "service create --name web --runtime process --replicas 3 -- sleep infinity";
    let planned = agents.ctl(2).run(&create.replace("create", "create --dry-run"))?.stdout;
    assert!(planned.contains("\n  web is created\n  + web.1  → node"), "{planned}");
    assert_eq!((planned.matches("  + web.").count(), agents.ctl(2).services()?.len()), (3, 0));
    agents.ctl(1).run(create)?;

    let places = |number: u8| -> Result<Vec<(String, String)>> {
        let tasks = agents.ctl(number).wanted("web")?;
        Ok(tasks.into_iter().map(|task| (task.name, task.node)).collect())
    };
    for (number, command) in
        [(3, "scale web=7"), (2, "drain node2"), (1, "activate node2"), (2, "scale web=2")]
    {
        let before = places(number)?;
        let planned = agents.ctl(number).run(&format!("plan {command} -o json"))?.stdout;
        assert_eq!(places(number)?, before, "{command}: nothing is changed");
        let planned: Value = serde_json::from_str(&planned).map_err(|error| Error::new(error.to_string()))?;
        assert_eq!(planned["pending"], Value::Array(Vec::new()));
        let mut expected: std::collections::BTreeMap<String, String> = before.into_iter().collect();
        for moved in planned["moves"].as_array().into_iter().flatten() {
            let text = |field: &str| moved[field].as_str().unwrap_or_default().to_owned();
            match text("to").as_str() {
                "" => drop(expected.remove(&text("name"))),
                to => drop(expected.insert(text("name"), to.to_owned())),
            }
        }
        let verb = if command.starts_with("scale") { "service" } else { "node" };
        agents.ctl(number).run(&format!("{verb} {command}"))?;
        let expected: Vec<(String, String)> = expected.into_iter().collect();
        until(&format!("{command} ends as planned: {expected:?}"), SOON, || {
            (places(number).ok()? == expected).then_some(())
        })?;
    }
    agents.ctl(1).refused("plan scale wbe=2", 1, "no service `wbe`")?;
    let full = "plan scale web=5 --timeout 1s";
    agents.ctl(1).run("service update --replicas-max-per-node 1 web --detach")?;
    let planned = agents.ctl(1).run(full)?.stdout;
    assert!(planned.contains("  ! web.5 has no node\n"), "{planned}");
    Ok(())
}

#[test]
fn what_was_stopped_has_no_error_and_what_is_well_is_told_as_a_whole() -> Result<()> {
    let agents = Agents::formed(3)?;
    let create = "service create --name web --replicas 3 --runtime process -- sleep infinity";
    agents.ctl(1).run(create)?;
    let why = agents.ctl(1).run("why web")?.stdout;
    let lines: Vec<&str> = why.lines().collect();
    assert_eq!(lines[0], "web: 3 of 3 tasks as they should be");
    assert!(lines.len() == 4 && lines[1].starts_with("  ✓ web.1  running on node"), "{why}");
    agents.ctl(1).run("node drain node2")?;
    let stopped = until("one was stopped", SOON, || {
        let tasks = agents.ctl(1).tasks("web").ok()?;
        tasks.into_iter().find(|task| task.state == "stopped")
    })?;
    assert_eq!((stopped.node.as_str(), stopped.error.as_str()), ("node2", ""));
    let one: Vec<Value> = agents.ctl(2).list("service ps web.1")?;
    assert!(one.iter().all(|task| task["name"] == "web.1") && !one.is_empty(), "{one:?}");
    Ok(())
}

/// An attempt that waits says when it starts; nothing in the list goes stale.
#[test]
fn an_attempt_that_waits_says_when_it_starts() -> Result<()> {
    let agents = Agents::formed(1)?;
    let create = "service create --detach --name crash --restart-delay 50s --runtime process -- false";
    agents.ctl(1).run(create)?;
    let waits = until("the second attempt waits", SOON, || {
        let (_, body) = get(&agents.socket(1), "/v1/services/crash/tasks").ok()?;
        let tasks: Value = serde_json::from_str(&body).ok()?;
        tasks[0]["next_attempt_at"].is_string().then(|| tasks[0].clone())
    })?;
    assert_eq!((&waits["state"], &waits["error"]), (&"assigned".into(), &"attempt 2".into()));
    let listed = agents.ctl(1).run("service ps crash")?.stdout;
    assert!(listed.contains("attempt 2 in ") && listed.contains(" s"), "{listed}");
    Ok(())
}

#[test]
fn metrics_tell_of_the_cluster_and_of_the_agent() -> Result<()> {
    let agents = Agents::formed(3)?;
    agents.ctl(1).run("service create --name web --replicas 2 --runtime process -- sleep infinity")?;
    let (head, text) = get(&agents.socket(1), "/metrics")?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for line in [
        "sleepd_nodes{status=\"ready\"} 3",
        "sleepd_nodes{status=\"down\"} 0",
        "sleepd_services 1",
        "sleepd_tasks{state=\"running\"} 2",
        "sleepd_tasks{state=\"pending\"} 0",
        "sleepd_tasks_desired 2",
        "sleepd_leader_known 1",
        "swarm_manager_nodes{state=\"ready\"} 3",
        "swarm_manager_tasks_total{state=\"running\"} 2",
        "sleepd_records_refused_total 0",
        "# HELP process_resident_memory_bytes Memory that this agent holds",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    let leaders = (1..=3).filter(|number| {
        get(&agents.socket(*number), "/metrics").is_ok_and(|(_, text)| text.contains("\nsleepd_leader 1\n"))
    });
    assert_eq!(leaders.count(), 1);
    let (head, body) = get(&agents.socket(1), "/metrics/none")?;
    assert!(head.starts_with("HTTP/1.1 404 ") && body.contains("\"code\":\"no_such_path\""), "{head}{body}");
    Ok(())
}

/// An answer that is lost on its way is asked for again, of another agent if need be: what was done is done,
/// even if others have done more since.
#[test]
fn a_command_sent_again_is_done_once() -> Result<()> {
    let agents = Agents::formed(3)?;
    let ctl = agents.ctl(1);
    ctl.run("service create --name web --replicas 2 --runtime process -- sleep infinity")?;
    ctl.run("service create --name other --runtime process -- sleep infinity")?;
    let (_, detail) = get(&agents.socket(1), "/v1/services/web")?;
    let detail: Value = serde_json::from_str(&detail).map_err(|error| Error::new(error.to_string()))?;
    let (id, seen) = (&detail["service"]["id"], &detail["service"]["revision"]);
    let mut spec = detail["spec"].clone();
    spec["template"]["env"] = json!(["A=1"]);
    let update = json!({ "spec": spec, "replicas": 3, "expected": seen });
    let put = format!("PUT /v1/services/{}", id.as_str().unwrap_or_default());
    let (status, first) = command(&agents.socket(1), &put, 'u', &update)?;
    assert_eq!((status, &first["changed"]), (200, &json!(true)), "{first}");
    // What it made is seen everywhere, and somebody goes on from there.
    let everywhere = |what: &str, holds: &dyn Fn(&Value) -> bool| {
        until(what, SOON, || {
            let told = |number| -> Option<Value> {
                serde_json::from_str(&get(&agents.socket(number), "/v1/services/web").ok()?.1).ok()
            };
            (1..=3).all(|number| told(number).is_some_and(|detail| holds(&detail))).then_some(())
        })
    };
    everywhere("the update is known", &|detail| detail["service"]["revision"] == first["revision"])?;
    agents.ctl(3).run("service update web --env A=2 --replicas 1 --detach")?;
    everywhere("the next update is known", &|detail| detail["spec"]["template"]["env"][0] == "A=2")?;
    for number in 1..=3 {
        let (status, again) = command(&agents.socket(number), &put, 'u', &update)?;
        assert_eq!((status, &again["changed"]), (200, &json!(false)), "node{number}: {again}");
        assert_eq!(again["revision"], first["revision"], "node{number}");
    }
    let (status, reused) = command(&agents.socket(2), &put, 'u', &json!({ "spec": spec, "replicas": 4 }))?;
    assert_eq!((status, &reused["code"]), (409, &json!("command_reused")), "{reused}");
    let (status, stale) = command(&agents.socket(2), &put, 'v', &update)?;
    assert_eq!((status, &stale["code"]), (412, &json!("stale")), "{stale}");
    // One of two is as it shall be already, at first; when it is asked again, it is not.
    let scale = json!({ "services": { "web": 1, "other": 2 } });
    let (_, scaled) = command(&agents.socket(1), "PUT /v1/scale", 's', &scale)?;
    assert_eq!(scaled["changed"], json!(true), "{scaled}");
    agents.ctl(1).run("service scale web=4 other=1 --detach")?;
    let (_, again) = command(&agents.socket(1), "PUT /v1/scale", 's', &scale)?;
    assert_eq!(again["changed"], json!(false), "{again}");
    let replicas = agents.ctl(1).run("service inspect web -o json")?.stdout;
    assert!(replicas.contains("\"desired\": 4"), "{replicas}");
    // Gone is gone.
    let remove = json!({ "services": [id] });
    let mut told = Vec::new();
    for number in [1, 1, 2, 3] {
        if number == 2 {
            everywhere("the removal is known", &|detail| detail["code"] == "no_such_service")?;
        }
        let (status, answer) = command(&agents.socket(number), "POST /v1/services/remove", 'r', &remove)?;
        told.push((status, answer["changed"].clone()));
    }
    assert_eq!(told, [(200, json!(true)), (200, json!(false)), (200, json!(false)), (200, json!(false))]);
    Ok(())
}

/// A node that is removed stays removed, by whatever command, and saying so changes nothing.
#[test]
fn a_node_that_is_gone_is_removed_by_id_again() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    let (_, detail) = get(&agents.socket(1), "/v1/nodes/node3")?;
    let detail: Value = serde_json::from_str(&detail).map_err(|error| Error::new(error.to_string()))?;
    let id = detail["node"]["id"].as_str().unwrap_or_default().to_owned();
    agents.kill_agent(3)?;
    let delete = format!("DELETE /v1/nodes/{id}");
    let mut told = Vec::new();
    for (request, name) in
        [(&delete, 'n'), (&delete, 'n'), (&format!("{delete}?compromised=true"), 'c'), (&delete, 'd')]
    {
        let (status, answer) = command(&agents.socket(1), request, name, &Value::Null)?;
        told.push((status, answer["changed"].clone()));
    }
    assert_eq!(told, [true, false, true, false].map(|changed| (200, json!(changed))));
    let (status, unknown) =
        command(&agents.socket(1), &format!("DELETE /v1/nodes/{}", "b".repeat(26)), 'e', &Value::Null)?;
    assert_eq!((status, &unknown["code"]), (404, &json!("no_such_node")), "{unknown}");
    Ok(())
}

/// Events name what they say: whoever heard it from one agent is told by another only what is new.
#[test]
fn a_watch_is_resumed_at_another_agent() -> Result<()> {
    let agents = Agents::formed(3)?;
    agents.ctl(1).run("service create --name web --runtime process -- sleep infinity")?;
    let same = until("two agents see the same", SOON, || {
        let (one, _) = event(&mut watch(&agents.socket(1), "").ok()?).ok()?;
        let (other, seen) = event(&mut watch(&agents.socket(2), "nonsense").ok()?).ok()?;
        (one == other && seen["services"][0]["desired"] == 1).then_some(one)
    })?;
    assert_eq!(same.len(), 24);
    // Without names all is told: services, and nodes.
    let (_, all) = event(&mut begin(&agents.socket(3), "/v1/watch", "")?)?;
    let count = |what: &str| all[what].as_array().map_or(0, Vec::len);
    assert_eq!((count("services"), count("nodes")), (1, 3), "{all}");
    let mut resumed = watch(&agents.socket(2), &same)?;
    agents.ctl(3).run("service scale web=2 --detach")?;
    let (next, seen) = event(&mut resumed)?;
    assert_ne!(next, same, "what was heard is not said again: {seen}");
    Ok(())
}

/// Begins a watch: the agent has answered, and its events follow.
fn watch(socket: &Path, heard: &str) -> Result<BufReader<UnixStream>> {
    begin(socket, "/v1/watch?services=web", heard)
}

/// What is answered to a plain request: the head's first line, and the body.
fn get(socket: &Path, path: &str) -> Result<(String, String)> {
    ask(socket, &format!("GET {path} HTTP/1.1\r\nHost: sleepd\r\nConnection: close\r\n\r\n"))
}

/// What is answered to a command that has a name of its own: the status, and the body.
fn command(socket: &Path, request: &str, name: char, body: &Value) -> Result<(u16, Value)> {
    let (key, body) = (name.to_string().repeat(25) + "a", body.to_string());
    let head = "Host: sleepd\r\nConnection: close\r\nContent-Type: application/json";
    let length = format!("Content-Length: {}", body.len());
    let request = format!("{request} HTTP/1.1\r\n{head}\r\nIdempotency-Key: {key}\r\n{length}\r\n\r\n{body}");
    let (head, body) = ask(socket, &request)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = serde_json::from_str(&body).map_err(|error| Error::new(format!("{error}: {body}")))?;
    Ok((status.ok_or_else(|| Error::new(head))?, body))
}

/// What is answered over a connection that is closed then: the head's first line, and the body.
fn ask(socket: &Path, request: &str) -> Result<(String, String)> {
    let mut stream = connected(socket)?;
    let mut text = String::new();
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.read_to_string(&mut text))
        .map_err(|error| Error::new(error.to_string()))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| Error::new(text.clone()))?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

fn connected(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket).and_then(|stream| {
        stream.set_read_timeout(Some(SOON))?;
        Ok(stream)
    });
    stream.map_err(|error| Error::new(error.to_string()))
}

fn begin(socket: &Path, path: &str, heard: &str) -> Result<BufReader<UnixStream>> {
    let trouble = |error: std::io::Error| Error::new(error.to_string());
    let mut stream = connected(socket)?;
    let resume = if heard.is_empty() { String::new() } else { format!("Last-Event-ID: {heard}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: sleepd\r\n{resume}\r\n").map_err(trouble)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line.trim_end() != "" || line.is_empty() {
        line.clear();
        if reader.read_line(&mut line).map_err(trouble)? == 0 {
            return Err(Error::new("the agent has hung up"));
        }
    }
    Ok(reader)
}

/// The next event of a watch, with its id.
fn event(reader: &mut BufReader<UnixStream>) -> Result<(String, Value)> {
    let mut id = String::new();
    for line in reader.lines() {
        let line = line.map_err(|error| Error::new(error.to_string()))?;
        if let Some(text) = line.strip_prefix("id:") {
            text.trim().clone_into(&mut id);
        }
        if let Some(text) = line.strip_prefix("data:") {
            let value = serde_json::from_str(text).map_err(|error| Error::new(error.to_string()))?;
            return Ok((id, value));
        }
    }
    Err(Error::new("the watch has ended"))
}
