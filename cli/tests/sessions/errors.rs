//! Everything that goes wrong: what is said, and with which exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake::{self, Agent, Answer, status};
use crate::transcript::{self, Session, sleepctl};

fn said(socket: &Path, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let output = sleepctl(socket, &words).output().expect("sleepctl runs");
    transcript::transcript(line, &output)
}

#[test]
fn no_agent_is_exit_code_3() {
    let folder = TempDir::new().expect("a folder");
    let stale = folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
    let text = [
        said(Path::new("/nonexistent/sleepd.sock"), "node ls"),
        said(Path::new("/nonexistent/a.sock,/nonexistent/b.sock"), "node ls"),
        said(Path::new("/nonexistent/sleepd.sock"), "version"),
        said(&stale, "service rm web").replace(&stale.display().to_string(), "STALE"),
    ];
    transcript::matches(&text.concat(), "unreachable.txt");
}

#[test]
fn what_is_no_command_is_exit_code_2() {
    let nowhere = Path::new("/nonexistent/sleepd.sock");
    let lines = [
        "nod ls",
        "node",
        "node drain",
        "service scale web",
        "service scale web=-1",
        "scale web=+1",
        "service create --replicas +3 nginx",
        "service create --publish +80:+80 nginx",
        "service create --publish published=8080-8082,target=80-81 nginx",
        "--timeout +5 ls",
        "service create --update-parallelism +1 nginx",
        "logs --lines +5 web",
        "dev --nodes +3",
        "service scale web=4294967296",
        "service scale web=NaN",
        "service create --replicas -1 nginx",
        "service create --publish 0:80 nginx",
        "service create --publish 65536:80 nginx",
        "service create --publish 9-8:1-2 nginx",
        "service create --limit-memory 0 nginx",
        "service create --limit-memory 9E nginx",
        "service create --limit-cpu 0.0000001 nginx",
        "service create --env =x nginx",
        "service create --replica 3 nginx",
        "service create",
        "service create --replicas 3 --mode global nginx",
        "service create ___",
        "service create --entrypoint 'sh nginx",
        "node label pi-1 zone",
        "node inspect ",
        "-H tcp://x ls",
        "-o yaml ls",
        "--timeout soon ls",
        "cluster token create --ttl 999999h",
        "service update --nosuch web",
    ];
    let text: String = lines.map(|line| said(nowhere, line)).concat();
    transcript::matches(&text, "usage.txt");
}

/// Whoever knows Docker types its words, and is told ours.
#[test]
fn docker_s_words_get_the_line_to_type_here() {
    let nowhere = Path::new("/nonexistent/sleepd.sock");
    let lines = [
        "swarm init --advertise-addr eth0",
        "-H pi-1 swarm join --token t pi-2",
        "node update --availability drain pi-1",
        "service create --mount type=bind,source=/a,target=/b nginx",
        "service create --name web -v /a:/b nginx",
        "service update --env-add A=1 web",
        "service rollback web",
        "service ps --filter desired-state=running web",
        "ps -a",
        "stack deploy -c compose.yaml blog",
        "run -it busybox sh",
        "run --secret key nginx",
        "logs --since 5m web",
    ];
    let text: String = lines.map(|line| said(nowhere, line)).concat();
    transcript::matches(&text, "docker.txt");
}

/// A value that the agent refuses is told by the flag that was typed, and is as wrong as one that this
/// program refuses.
#[test]
fn a_value_that_the_agent_refuses_is_a_usage_error() {
    let cases = [
        ("--env A\u{a0}B=1", "`template.env` has the name `A\\u{a0}B`, where blanks are not allowed"),
        ("--constraint a==b==c", "`placement.constraints` has `a==b==c`: its value has a second operator"),
        (
            "--label io.sleepd.x=y",
            "`labels` has `io.sleepd.x`, and what begins with `io.sleepd.` is reserved",
        ),
        ("--update-delay 1d", "`of.a.later.release` is odd"),
    ];
    let mut text = String::new();
    for (flags, title) in cases {
        let agent = Agent::start(move |asked| match asked.line.as_str() {
            "GET /v1/status" => Answer::Json(status(1, 1)),
            _ => fake::problem(422, "invalid", title),
        });
        text += &said(agent.socket(), &format!("service create {flags} nginx"));
    }
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(1, 1)),
        _ => fake::problem(422, "invalid", "`template.image` is `Nginx`: its name has upper-case letters"),
    });
    transcript::matches(&(text + &said(agent.socket(), "run -n web Nginx")), "invalid.txt");
}

#[test]
fn a_name_that_nobody_has_gets_the_line_that_was_meant() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        "GET /v1/nodes/pi" => Answer::Problem(
            409,
            json!({"code": "ambiguous", "status": 409,
                   "title": "several nodes have an id that begins with `pi`",
                   "changed": false, "candidates": ["pi-1", "pi-2"]}),
        ),
        "GET /v1/services/nothing" => fake::problem(404, "no_such_service", "no service `nothing`"),
        _ => Answer::Problem(
            404,
            json!({"code": "no_such_service", "status": 404, "title": "no service `sleep-ap`",
                   "changed": false,
                   "candidates": ["sleep-app"]}),
        ),
    });
    let mut session = Session::with(&agent);
    session
        .run("service scale sleep-ap=7")
        .run("logs sleep-ap.2")
        .run("service rm nothing")
        .run("service rm web sleep-ap")
        .run("node inspect pi");
    session.matches("candidates.txt");
}

#[test]
fn refusals_say_whether_anything_changed_and_what_to_type() {
    let cases = [
        (409, "not_clustered", "this node is in no cluster"),
        (409, "already_clustered", "this node is already a member of cluster abc"),
        (409, "busy", "the agent is busy joining or leaving a cluster"),
        (403, "not_control", "this node is a worker: it may not write desired state"),
        (409, "name_taken", "a service named `web` exists already"),
        (412, "stale", "the service has a newer revision, r2"),
        (422, "invalid", "`name` has a character that is not allowed"),
        (422, "bad_token", "the join token has expired"),
        (502, "no_door", "no member of the cluster could be reached"),
        (409, "oneself", "a node is not removed through itself: it leaves"),
        (409, "unheard", "no other member answers: they would go on listing this node"),
        (409, "last_control", "it would leave the cluster without a control node that answers"),
        (500, "storage", "the agent's own store failed"),
        (501, "unsupported", "this release cannot do that"),
        (403, "forbidden", "this key may not do that"),
        (418, "a_code_of_a_later_release", "something new"),
    ];
    let mut text = String::new();
    for (status, code, title) in cases {
        let agent = Agent::start(move |_| fake::problem(status, code, title));
        text += &said(agent.socket(), "cluster join --token x pi-1");
    }
    let agent = Agent::start(|_| Answer::Problem(500, json!("no problem at all")));
    text += &said(agent.socket(), "node ls");
    let agent = Agent::start(|_| Answer::Json(json!({"unexpected": true})));
    text += &said(agent.socket(), "node ls");
    transcript::matches(&text, "refusals.txt");
}

#[test]
fn danger_wants_a_yes() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        "POST /v1/cluster/leave" => Answer::Json(json!({"changed": true, "durability": "alone"})),
        _ => fake::problem(404, "no_such_node", "no node `x`"),
    });
    let mut session = Session::with(&agent);
    session.run("cluster leave").run("cluster leave -y").run("cluster leave --yes --force").run("node rm x");
    session.matches("danger.txt");
    assert_eq!(
        agent.changes(),
        [r#"POST /v1/cluster/leave {"force":false}"#, r#"POST /v1/cluster/leave {"force":true}"#]
    );
}

#[test]
fn an_operator_is_taken_out_for_good() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(3, 3)),
        "GET /v1/operators/ada" | "GET /v1/operators/o1aa" | "GET /v1/operators/o1aaa" => {
            Answer::Json(fake::operator("o1aaaaaaaaaaaaaaaaaaaaaaaa", "ada"))
        }
        "GET /v1/operators/adda" => Answer::Problem(
            404,
            json!({"code": "no_such_operator", "status": 404, "title": "no operator `adda`", "changed": false,
                   "candidates": ["ada"]}),
        ),
        "DELETE /v1/operators/o1aaaaaaaaaaaaaaaaaaaaaaaa" => {
            Answer::Json(json!({"changed": true, "durability": "shared"}))
        }
        other => panic!("nobody asks for {other}"),
    });
    let mut session = Session::with(&agent);
    session.run("operator rm ada").run("operator rm -y ada").run("operator rm -y o1aa -q");
    session.run("operator rm -y o1aaa -o json").run("operator rm -y adda");
    session.matches("operator-rm.txt");
}

/// Its id is the one that the list has, and not the key.
#[test]
fn an_operator_that_is_admitted_is_told_by_its_id() {
    let folder = TempDir::new().expect("a folder");
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(1, 1)),
        "POST /v1/operators" => Answer::Json(json!({"id": "o3", "changed": true, "durability": "alone"})),
        other => panic!("nobody asks for {other}"),
    });
    let run = |name: &str, flags: &[&str]| {
        let key = folder.path().join(name).display().to_string();
        let words = [&["operator", "create", "ada", "--key", &key], flags].concat();
        let output = sleepctl(agent.socket(), &words).output().expect("sleepctl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run("a.key", &["-q"]), "o3\n");
    let told: Value = serde_json::from_str(&run("b.key", &["-o", "json"])).expect("JSON");
    assert_eq!((&told["id"], &told["name"]), (&json!("o3"), &json!("ada")));
    assert_eq!(told["public_key"].as_str().map(str::len), Some(64));
}

#[test]
fn founding_and_joining_say_what_to_paste() {
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(1, 1)),
        "POST /v1/cluster/init" => Answer::Json(json!({
            "cluster": "c1", "node": "n1aaaaaaaaaaaaaaaaaaaaaaaa", "name": "node1",
            "token": "sleepd-join-1-abc",
            "addresses": ["192.168.1.11:7533"],
        })),
        "POST /v1/cluster/join" => {
            Answer::Json(json!({"cluster": "c1", "node": "n2", "name": "node2", "role": "control"}))
        }
        "POST /v1/tokens" => Answer::Json(
            json!({"token": "sleepd-join-1-def", "id": "k9", "addresses": ["a:1", "b:1", "c:1", "d:1"],
                   "durability": "here_only"}),
        ),
        "GET /v1/tokens/k9aa" => Answer::Json(json!({
            "id": "k9aaaaaaaaaaaaaaaaaaaaaaaa", "role": "worker", "single_use": false, "expires_in_ms": null,
            "revoked": false, "created_at": "", "creator": "pi-1",
        })),
        "DELETE /v1/tokens/k9aaaaaaaaaaaaaaaaaaaaaaaa" => {
            Answer::Json(json!({"changed": true, "durability": "here_only"}))
        }
        other => panic!("nobody asks for {other}"),
    });
    let mut session = Session::with(&agent);
    session
        .run("cluster init")
        .run("cluster init -q")
        .run("cluster join --token sleepd-join-1-abc 192.168.1.11:7533");
    session.run("cluster token create").run("cluster token create -q --ttl 0 --role worker --single-use");
    session.run("cluster token rotate -o json").run("cluster token rm k9aa").matches("found.txt");
    let last = &agent.changes()[4];
    assert_eq!(last, r#"POST /v1/tokens {"role":"worker","rotate":false,"single_use":true,"ttl_ms":null}"#);
}

#[test]
fn an_operator_s_key_is_its_owner_s_alone() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("deep/operator.key");
    let agent = Agent::start(|asked| match asked.line.as_str() {
        "GET /v1/status" => Answer::Json(status(1, 1)),
        _ if asked.body["name"] == "eve" => fake::problem(422, "invalid", "`name` is taken"),
        _ => Answer::Json(json!({"id": "o1", "changed": true, "durability": "alone"})),
    });
    let shown = path.display().to_string();
    let run = |name: &str| {
        said(agent.socket(), &format!("operator create {name} --key {shown}")).replace(&shown, "KEY")
    };
    let refused = run("eve");
    assert!(!path.exists(), "a key that nobody admitted is not kept");
    let text = refused + &run("ada") + &run("ada");
    let below = said(agent.socket(), &format!("operator create ada --key {shown}/ada.key"));
    let nowhere = said(agent.socket(), "operator create zed --key /proc/zed.key");
    transcript::matches(&(text + &below.replace(&shown, "KEY") + &nowhere), "operator.txt");
    assert_eq!(fs::metadata(&path).expect("a key").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).expect("a key").trim().len(), 64);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its owner may");
    let open = said(agent.socket(), &format!("--operator-key {shown} -H quic://127.0.0.1:1 ls"));
    let none = said(agent.socket(), "--operator-key /nonexistent/key -H quic://127.0.0.1:1 ls");
    transcript::matches(&(open.replace(&shown, "KEY") + &none), "keys.txt");
}
