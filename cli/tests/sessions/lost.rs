//! Agents that go away, or take longer than anybody waits for.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::fake::{Agent, Answer, progress, service, snapshot, status};
use crate::transcript::Session;

fn detail() -> Value {
    json!({
        "service": service("web", 1, 1, "nginx", &[]), "spec": {"template": {"image": "nginx"}},
        "created_at": "", "updated_at": "", "update": "", "conflicts": [],
    })
}

/// What it took with it may be done: that nobody answers any more is not what matters.
#[test]
fn a_change_that_an_agent_took_with_it_may_have_been_made() {
    let socket = Arc::new(OnceLock::<PathBuf>::new());
    let own = socket.clone();
    let agent = Agent::start(move |asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        line if line.starts_with("GET /v1/services/") => Answer::Json(detail()),
        _ => {
            fs::remove_file(own.get().expect("it listens")).expect("a socket");
            Answer::HangUp
        }
    });
    socket.set(agent.socket().to_owned()).expect("it is set once");
    Session::with(&agent).run("service rm web").matches("taken-along.txt");
    assert_eq!(agent.changes().len(), 1);
}

#[test]
fn what_a_cluster_takes_long_for_goes_on() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(1, 3)),
        _ => Answer::Silence,
    });
    let mut session = Session::with(&agent);
    session.run("cluster leave -y --timeout 1s").run("cluster join --token t pi-1 --timeout 1s");
    session.run("cluster recover -y --timeout 1s").matches("at-length.txt");
    assert_eq!(agent.changes().len(), 3);
}

/// What an agent shows that has not heard of an update is not what came of it.
#[test]
fn an_update_is_not_done_while_the_agent_has_not_heard_of_it() {
    let (watches, histories) = (AtomicU32::new(0), AtomicU32::new(0));
    let agent = Agent::start(move |asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        line if line.starts_with("GET /v1/watch") => {
            let event = |desired: u32, slots: &[(&str, &str, bool)], update: &str| {
                let mut progress = progress("web", desired, slots);
                progress["update"] = update.into();
                snapshot(&[progress], &[])
            };
            let running = ("pi-1", "running", true);
            let old = event(1, &[running], "");
            match watches.fetch_add(1, Ordering::SeqCst) {
                // Whoever accepted it has heard of it; whoever is asked after that one went away has not.
                0 => Answer::Ending(Vec::new()),
                1 => Answer::Events(vec![event(1, &[running], "paused, an older one"), old]),
                _ => Answer::Events(vec![
                    event(2, &[running, ("pi-2", "starting", false)], "1 of 2 updated"),
                    event(2, &[running, ("pi-2", "running", true)], ""),
                ]),
            }
        }
        "GET /v1/services/s-web-zzzzzzzzzzzzzzzzzz/history" => {
            let revision = |id: &str| {
                json!({"id": id, "at": "", "author": "pi-1", "image": "nginx", "current": true,
                       "parents": [], "changes": []})
            };
            let has_heard = histories.fetch_add(1, Ordering::SeqCst) >= 2;
            Answer::Json(json!([revision(if has_heard { "r2" } else { "r1" })]))
        }
        line if line.starts_with("GET /v1/services/s-web-zzzzzzzzzzzzzzzzzz/tasks") => {
            Answer::Json(json!([]))
        }
        line if line.starts_with("GET /v1/services/") => Answer::Json(detail()),
        _ => Answer::Json(json!({
            "id": "s-web-zzzzzzzzzzzzzzzzzz", "name": "web", "revision": "r2",
            "changed": true, "durability": "shared",
        })),
    });
    Session::with(&agent).run("service update --image nginx:2 web").matches("update-unheard.txt");
}

/// No service has its tasks any more: only their node shows them.
#[test]
fn who_waits_no_longer_for_a_removal_is_told_where_its_tasks_are() {
    let mut removed = progress("web", 0, &[]);
    (removed["removed"], removed["converged"], removed["ending"]) = (true.into(), false.into(), 1.into());
    removed["leaving"] =
        json!([{"name": "web.1", "node": "pi-2", "state": "running", "killed_at": null, "trouble": ""}]);
    let agent = Agent::start(move |asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        line if line.starts_with("GET /v1/watch") => {
            Answer::Events(vec![snapshot(std::slice::from_ref(&removed), &[])])
        }
        line if line.starts_with("GET /v1/services/") => Answer::Json(detail()),
        _ => Answer::Json(json!({"changed": true, "durability": "shared"})),
    });
    let mut session = Session::with(&agent);
    session.run("service rm web --timeout 300ms").run("service rm web --detach").matches("still-there.txt");
}
