//! A cluster whose voters are gone for good.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::fake::{self, Agent, Answer, status};
use crate::transcript::Session;

/// What pi-1 says that hears no other voter.
fn forsaken() -> Value {
    let mut status = status(1, 3);
    status["leader"]["fresh"] = json!(false);
    for other in [1, 2] {
        status["voters"][other]["heard"] = json!(false);
    }
    status
}

/// What it says once it votes alone.
fn recovered() -> Value {
    let mut status = status(1, 3);
    status["leader"] = json!({"id": status["node"], "name": "pi-1", "term": 8, "fresh": true});
    status["generation"] = json!(1);
    status["voters"] = json!([{"id": status["node"], "name": "pi-1", "weight": 1, "heard": true}]);
    status
}

fn agent() -> Agent {
    let is_recovered = AtomicBool::new(false);
    Agent::start(move |asked| match asked.line.as_str() {
        "GET /v1/status" if is_recovered.load(Ordering::SeqCst) => Answer::Json(recovered()),
        "GET /v1/status" => Answer::Json(forsaken()),
        "POST /v1/cluster/recover" => {
            let changed = !is_recovered.swap(true, Ordering::SeqCst);
            Answer::Json(json!({"changed": changed, "generation": 1}))
        }
        _ => fake::problem(404, "no_such_path", "no such path in this API"),
    })
}

#[test]
fn a_survivor_is_told_that_it_is_one() {
    let agent = agent();
    let mut session = Session::with(&agent);
    session
        .run("cluster status")
        .run("cluster recover")
        .run("cluster recover -y")
        .run("cluster recover -y")
        .run("cluster status");
    session.matches("recover.txt");
    let asked = r#"POST /v1/cluster/recover {"force":false}"#;
    assert_eq!(agent.changes(), [asked, asked]);
}

#[test]
fn a_script_learns_who_votes_and_who_was_lost() {
    let agent = agent();
    Session::with(&agent)
        .run("cluster recover -y -o json --force")
        .run("cluster recover -y -q")
        .matches("recover-json.txt");
    let asked = |force| format!(r#"POST /v1/cluster/recover {{"force":{force}}}"#);
    assert_eq!(agent.changes(), [asked(true), asked(false)]);
}

#[test]
fn a_cluster_that_gets_on_is_not_recovered() {
    for (code, title) in [
        ("led", "node pi-2 leads: there is nothing to recover"),
        ("voters_answer", "2 of 3 voters answer: they will agree on a leader by themselves"),
    ] {
        let agent = Agent::start(move |asked| match asked.line.as_str() {
            "GET /v1/status" => Answer::Json(status(3, 3)),
            _ => fake::problem(409, code, title),
        });
        Session::with(&agent).run("cluster recover -y").matches(&format!("recover-{code}.txt"));
    }
}
