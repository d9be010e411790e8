//! Whole agents on one machine, over real sockets: what they promise, and what they refuse in which words.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sleep_tests::agents::Agents;
use sleep_tests::ctl::Ctl;
use sleep_tests::process::{binary, output};
use sleep_tests::wait::until;
use sleep_tests::{Error, Result};

/// For what a cluster does by itself, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const CREATE: &str =
    "service create --name sleep-app --stop-grace-period 1s --runtime process -- sleep infinity";

#[test]
fn a_service_is_created_scaled_drained_and_removed() -> Result<()> {
    let agents = Agents::formed(3)?;
    assert_eq!(agents.ctl(2).run(CREATE)?.stdout, "sleep-app: 1/1 running");
    assert_eq!(agents.ctl(3).run("service scale sleep-app=7")?.stdout, "sleep-app: 7/7 running");
    assert_eq!(sorted(agents.spread()), [2, 2, 3]);

    assert_eq!(agents.ctl(1).run("node drain node2")?.stdout, "node2: drained");
    assert_eq!(agents.processes(2), BTreeMap::new());
    assert_eq!(sorted(agents.spread()), [0, 3, 4]);

    agents.ctl(3).run("node activate node2")?;
    until("work comes back without a command", SOON, || {
        (sorted(agents.spread()) == [2, 2, 3]).then_some(())
    })?;

    assert_eq!(agents.ctl(2).run("service rm sleep-app")?.stdout, "sleep-app: removed");
    assert_eq!(agents.spread(), [0, 0, 0]);
    Ok(())
}

#[test]
fn an_agent_that_is_killed_adopts_its_tasks() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    agents.ctl(1).run("service scale sleep-app=6")?;
    let before = everything(&agents);
    let tasks = agents.ctl(1).wanted("sleep-app")?;
    for number in 1..=3 {
        agents.kill_agent(number)?;
        assert_eq!(everything(&agents), before, "tasks outlive their agent");
        agents.start_agent(number)?;
        agents.ctl(number).run("service scale sleep-app=6")?;
        assert_eq!(
            (agents.ctl(number).wanted("sleep-app")?, everything(&agents)),
            (tasks.clone(), before.clone())
        );
    }
    // Told to stop, as by a service manager.
    assert!(agents.terminate_agent(2)?.success());
    assert_eq!(everything(&agents), before);
    // It said that it will be back: nobody takes its work.
    let said =
        || agents.ctl(1).nodes().is_ok_and(|nodes| nodes.iter().any(|node| node.status == "restarting"));
    until("the others know that it restarts", SOON, || said().then_some(()))?;
    agents.start_agent(2)?;
    agents.ctl(2).run("service scale sleep-app=6")?;
    assert_eq!((agents.ctl(3).wanted("sleep-app")?, everything(&agents)), (tasks, before));
    Ok(())
}

#[test]
fn all_agents_are_killed_at_once_and_nothing_is_lost() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    agents.ctl(1).run("service scale sleep-app=4")?;
    let before = everything(&agents);
    for number in 1..=3 {
        agents.kill_agent(number)?;
    }
    for number in 1..=3 {
        agents.start_agent(number)?;
    }
    assert_eq!(agents.ctl(2).run("service scale sleep-app=4")?.stdout, "sleep-app: 4/4 running");
    assert_eq!(everything(&agents), before);
    assert_eq!(agents.ctl(3).run("service scale sleep-app=5")?.stdout, "sleep-app: 5/5 running");
    Ok(())
}

#[test]
fn work_of_a_node_that_is_down_is_started_elsewhere_and_settled_when_it_is_back() -> Result<()> {
    let mut agents = Agents::formed(5)?;
    agents.ctl(4).run(CREATE)?;
    agents.ctl(4).run("service scale sleep-app=5")?;
    assert_eq!(agents.spread(), [1; 5]);
    let start = Instant::now();
    agents.kill_agent(5)?;
    // What ran there runs on: nobody can know that.
    until("the others run five", SOON, || (agents.spread()[..4].iter().sum::<usize>() == 5).then_some(()))?;
    println!("replaced after {:.1?}", start.elapsed());
    until("node5 is seen down", SOON, || {
        let nodes = agents.ctl(2).nodes().ok()?;
        nodes.iter().any(|node| (node.name.as_str(), node.status.as_str()) == ("node5", "down")).then_some(())
    })?;

    let start = Instant::now();
    agents.start_agent(5)?;
    until("five run again", SOON, || (agents.spread().iter().sum::<usize>() == 5).then_some(()))?;
    println!("settled after {:.1?}", start.elapsed());
    until("all nodes tell the same five", SOON, || {
        let running = |number| {
            let tasks = agents.ctl(number).wanted("sleep-app").ok()?;
            (tasks.len() == 5 && tasks.iter().all(|task| task.state == "running")).then_some(tasks)
        };
        (running(1)? == running(5)?).then_some(())
    })
}

#[test]
fn a_token_that_is_not_good_admits_nobody_and_says_why() -> Result<()> {
    let agents = Agents::start(3)?;
    let (one, two, three) = (agents.ctl(1), agents.ctl(2), agents.ctl(3));
    one.run("cluster init")?;
    two.run("cluster init")?;
    let good = one.run("cluster token create -q")?.stdout;
    let foreign = two.run("cluster token create -q")?.stdout;
    let short = one.run("cluster token create -q --ttl 1s")?.stdout;
    let before = token_ids(&one)?;
    let revoked = one.run("cluster token create -q")?.stdout;
    let id = token_ids(&one)?.difference(&before).next().cloned().expect("one was made");
    let refused = |token: &str, words| {
        three.refused(&format!("cluster join --token {token} {}", agents.address(1)), 1, words)
    };

    refused("SWMTKN-1-abc", "a join token begins with `sleepd-join-1-`")?;
    refused(&good[..good.len() - 3], "the join token is not complete")?;
    refused(&format!("{}!", &good[..good.len() - 1]), "has a character that no token has")?;
    let mistyped = if good.contains("4") { good.replacen('4', "5", 1) } else { good.replacen('6', "7", 1) };
    refused(&mistyped, "the join token has a mistyped character")?;
    refused(&foreign, "the cluster does not know this join token")?;
    until("the token has expired", SOON, || {
        let tokens = one.list::<Value>("cluster token ls").ok()?;
        tokens.iter().any(|token| token["expires_in_ms"] == 0).then_some(())
    })?;
    refused(&short, "the join token has expired")?;
    one.run(&format!("cluster token rm {id}"))?;
    refused(&revoked, "the join token was revoked")?;

    three.refused("node ls", 1, "this node is in no cluster")?;
    assert_eq!(one.nodes()?.len(), 1, "nobody was admitted");
    assert_eq!(
        three.run(&format!("cluster join --token {good} {}", agents.address(1)))?.stdout,
        "joined as node3"
    );
    Ok(())
}

#[test]
fn a_join_that_reaches_nobody_says_so_and_changes_nothing() -> Result<()> {
    let agents = Agents::start(2)?;
    let (one, two) = (agents.ctl(1), agents.ctl(2));
    one.run("cluster init")?;
    let token = one.run("cluster token create -q")?.stdout;
    // Nobody listens on the port of discarded bytes; and node2 itself is in no cluster.
    two.refused(
        &format!("cluster join --token {token} 127.0.0.1:9"),
        1,
        "no member of the cluster could be reached",
    )?;
    two.refused("cluster token ls", 1, "this node is in no cluster")?;
    let line = format!("cluster join --token {token} 127.0.0.1:9 {}", agents.address(1));
    assert_eq!(two.run(&line)?.stdout, "joined as node2", "one of several addresses is enough");
    Ok(())
}

#[test]
fn a_member_neither_joins_nor_founds_a_cluster() -> Result<()> {
    let agents = Agents::formed(3)?;
    let two = agents.ctl(2);
    let token = agents.ctl(1).run("cluster token create -q")?.stdout;
    let member = "this node is already a member of cluster";
    two.refused("cluster init", 1, member)?;
    two.refused(&format!("cluster join --token {token} {}", agents.address(1)), 1, member)?;
    two.refused("cluster leave", 2, "this wants to be confirmed, and there is no terminal to ask on")?;
    assert_eq!(agents.ctl(3).nodes()?.len(), 3);
    Ok(())
}

#[test]
fn a_node_in_no_cluster_refuses_what_needs_one() -> Result<()> {
    let agents = Agents::start(1)?;
    let one = agents.ctl(1);
    let lines = [
        "node ls",
        "node drain node1",
        "service ls",
        "service ps sleep-app",
        CREATE,
        "service scale sleep-app=3",
        "service rm sleep-app",
        "cluster token create",
        "cluster leave -y",
    ];
    for line in lines {
        one.refused(line, 1, "this node is in no cluster")?;
    }
    assert_eq!(one.run("cluster status -o name")?.stdout, "node1");
    Ok(())
}

#[test]
fn an_agent_that_does_not_run_is_exit_code_3() -> Result<()> {
    let mut agents = Agents::start(1)?;
    agents.kill_agent(1)?;
    agents.ctl(1).refused("node ls", 3, "no agent answers at")?;
    // The socket of a killed agent stays; it is no obstacle to the next one.
    agents.start_agent(1)
}

#[test]
fn an_agent_that_cannot_run_ends_with_the_reason_and_harms_nobody() -> Result<()> {
    let agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    agents.ctl(1).run("service scale sleep-app=3")?;
    let before = everything(&agents);

    let fails = |instead: &[(&str, &Path)], words: &str| -> Result<()> {
        let (code, said) = agents.fails(&mut agents.command(1, instead)?)?;
        assert!(code == 1 && said.contains(words), "{instead:?}: exit code {code}: {said}");
        Ok(())
    };
    let (other, elsewhere) = (agents.data_dir(4), agents.socket(4));
    // The same directory, whatever else differs.
    let free = [("--listen", Path::new("127.0.0.1:0")), ("--socket", &elsewhere)];
    fails(&free, "another agent is running: process ")?;
    // Another directory, the same socket; then the same port.
    fails(&[("--data-dir", &other)], "another agent listens on ")?;
    fails(&[("--data-dir", &other), ("--socket", &elsewhere)], &agents.address(1).to_string())?;
    // Nobody may write there, not even root.
    fails(&[("--data-dir", Path::new("/sys/sleepd"))], "/sys/sleepd")?;

    assert_eq!(agents.ctl(1).run("service scale sleep-app=3")?.stdout, "sleep-app: 3/3 running");
    assert_eq!(everything(&agents), before);
    Ok(())
}

/// An id that a command tells is the one that lists and the next command know.
#[test]
fn what_is_created_is_taken_out_by_the_id_it_was_told_with() -> Result<()> {
    let agents = Agents::formed(2)?;
    let key = agents.data_dir(1).join("ada.key");
    let id = agents.ctl(1).run(&format!("operator create ada -q --key {}", key.display()))?.stdout;
    assert_eq!(agents.ctl(1).run("operator ls -q")?.stdout, id);
    assert_eq!(agents.ctl(1).run(&format!("operator rm -y -q {}", &id[..6]))?.stdout, id);
    agents.ctl(1).refused("operator rm -y adda", 1, "no operator `adda`")?;

    let made = agents.ctl(2).run("cluster token create -o json")?.stdout;
    let made: Value = serde_json::from_str(&made).map_err(|error| Error::new(error.to_string()))?;
    assert_eq!(made["durability"], "shared");
    let id = made["id"].as_str().unwrap_or_default();
    assert_eq!(agents.ctl(2).run(&format!("cluster token rm -q {}", &id[..6]))?.stdout, id);
    Ok(())
}

/// One node runs more tasks than it takes connections of all who ask: the output of each is read.
#[test]
fn the_output_of_many_tasks_on_another_node_is_followed() -> Result<()> {
    const MANY: usize = 70;
    let agents = Agents::formed(2)?;
    agents.ctl(1).run("node drain node1")?;
    let create = "service create --name chatter --replicas 70 --runtime process -- sh -c";
    let mut create = agents.ctl(1).command(create)?;
    let created = output(create.arg("echo here; exec sleep infinity"))?;
    assert_eq!(created.trim_end(), "chatter: 70/70 running");
    let mut follow = agents.ctl(1).command("service logs --follow chatter")?;
    let mut follow = follow.stdout(Stdio::piped()).spawn().map_err(|error| Error::new(error.to_string()))?;
    let lines = follow.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let told: Vec<String> = lines.map_while(std::result::Result::ok).take(MANY).collect();
    follow.kill().map_err(|error| Error::new(error.to_string()))?;
    follow.wait().map_err(|error| Error::new(error.to_string()))?;
    let silent: Vec<&String> = told.iter().filter(|line| !line.ends_with("here")).collect();
    assert_eq!((told.len(), silent), (MANY, Vec::new()));
    Ok(())
}

/// A runtime says what it is when the agent starts, before there is a cluster that could hear it.
#[test]
fn a_new_cluster_knows_what_its_runtimes_are() -> Result<()> {
    let agents = Agents::formed(2)?;
    for node in ["node1", "node2"] {
        until("its runtime has a version", SOON, || {
            let shown = agents.ctl(1).run(&format!("node inspect {node} -o json")).ok()?.stdout;
            let shown: Value = serde_json::from_str(&shown).ok()?;
            let version = shown[0]["runtimes"][0]["version"].as_str()?;
            (!version.is_empty()).then_some(())
        })?;
    }
    Ok(())
}

/// A backup without its key, or another host's in its place: nothing is thrown away.
#[test]
fn a_node_s_state_is_kept_from_another_key() -> Result<()> {
    let mut agents = Agents::formed(1)?;
    agents.ctl(1).run(CREATE)?;
    let before = everything(&agents);
    agents.kill_agent(1)?;
    let key = agents.data_dir(1).join("node.key");
    let aside = key.with_extension("aside");
    fs::rename(&key, &aside).map_err(Error::on(&key))?;
    let fails = |words: &str| -> Result<()> {
        let (code, said) = agents.fails(&mut agents.command(1, &[])?)?;
        assert!(code == 1 && said.contains(words), "exit code {code}: {said}");
        Ok(())
    };
    fails("node.key is gone, and the state beside it is that of node ")?;
    fs::copy(&aside, &key).map_err(Error::on(&key))?;
    fs::write(&key, "5".repeat(64)).map_err(Error::on(&key))?;
    fails(", and the state beside it is that of node ")?;
    fs::rename(&aside, &key).map_err(Error::on(&key))?;
    agents.start_agent(1)?;
    assert_eq!((agents.ctl(1).wanted("sleep-app")?.len(), everything(&agents)), (1, before));
    Ok(())
}

#[test]
fn nodes_leave_in_any_order_the_first_included() -> Result<()> {
    let agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    agents.ctl(1).run("service scale sleep-app=3")?;
    assert_eq!(agents.ctl(1).run("cluster leave -y")?.stdout, "node1 left the cluster");
    until("the two that are left run three", SOON, || {
        (agents.spread()[0] == 0 && agents.spread()[1..].iter().sum::<usize>() == 3).then_some(())
    })?;
    until("node1 is no node of theirs", SOON, || {
        (agents.ctl(2).nodes().ok()?.len() == 2 && agents.ctl(3).nodes().ok()?.len() == 2).then_some(())
    })?;
    agents.ctl(1).refused("node ls", 1, "this node is in no cluster")?;
    agents.ctl(3).run("service scale sleep-app=5")?;
    agents.ctl(2).run("cluster leave -y")?;
    until("the last runs five", SOON, || (agents.spread() == [0, 0, 5]).then_some(()))?;
    agents.ctl(3).run("cluster leave -y")?;
    until("nothing runs", SOON, || (agents.spread() == [0; 3]).then_some(()))?;
    for number in 1..=3 {
        agents.ctl(number).run("cluster init")?;
        assert_eq!(agents.ctl(number).nodes()?.len(), 1);
        assert_eq!(agents.ctl(number).services()?, []);
    }
    Ok(())
}

/// Two of three voters are gone for good: the third leads once somebody says so, and does what it is told.
#[test]
fn a_survivor_leads_once_it_is_told_to() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    agents.ctl(1).run("service scale sleep-app=3")?;
    let status = |agents: &Agents, number: u8| -> Option<Value> {
        serde_json::from_str(&agents.ctl(number).run("cluster status -o json").ok()?.stdout).ok()
    };
    until("three vote", SOON, || {
        let weights = |number| Some(status(&agents, number)?["voters"].as_array()?.len());
        (1..=3).all(|number| weights(number) == Some(3)).then_some(())
    })?;
    agents.ctl(3).refused("cluster recover -y", 1, "leads: there is nothing to recover")?;

    agents.kill_agent(1)?;
    agents.kill_agent(2)?;
    until("node3 knows that nobody leads", SOON, || {
        let said = agents.ctl(3).run("cluster status").ok()?;
        let told = said.stderr.contains("no leader: 2 of 3 voters are not heard (node1, node2)");
        (told && said.stderr.contains("hint: sleepctl cluster recover")).then_some(())
    })?;
    let unasked = agents.ctl(3).attempt("cluster recover")?;
    let told = unasked.stderr.contains("wants to be confirmed") && unasked.stderr.contains("recover -y");
    assert!(unasked.code == 2 && told, "{unasked:?}");

    let recovered = agents.ctl(3).run("cluster recover -y")?;
    assert_eq!(recovered.stdout, "node3 leads generation 1; voters: node3");
    assert!(recovered.stderr.contains("hint: sleepctl node rm node1 node2"), "{recovered:?}");
    let again = agents.ctl(3).run("cluster recover -y")?.stdout;
    assert_eq!(again, "nothing changed: node3 leads generation 1 already, as its one voter");
    let logged = agents.logged(3)?;
    assert!(logged.contains("the cluster was recovered: a generation was founded"), "{logged}");
    let why = agents.ctl(3).run("why node3")?.stdout;
    assert!(why.contains("generation 1 was founded, led by node3"), "{why}");

    assert_eq!(agents.ctl(3).run("service scale sleep-app=5")?.stdout, "sleep-app: 5/5 running");
    assert_eq!(agents.processes(3).len(), 5);

    // They were not gone: they follow, and each slot has one task.
    agents.start_agent(1)?;
    agents.start_agent(2)?;
    until("all follow node3", SOON, || {
        let follows = |number| {
            let status = status(&agents, number)?;
            (status["generation"] == 1 && status["leader"]["name"] == "node3").then_some(())
        };
        (1..=3).all(|number| follows(number).is_some()).then_some(())
    })?;
    until("five run", SOON, || (agents.spread().iter().sum::<usize>() == 5).then_some(()))
}

/// The leader of two has the only vote. It is demoted at the other, which leads then, alone; and may be
/// demoted in turn once the first is promoted again.
#[test]
fn a_leader_that_is_demoted_is_followed_by_another() -> Result<()> {
    let agents = Agents::formed(2)?;
    let leads = |number, name: &str| {
        let told = agents.ctl(number).run("cluster status -o json").ok()?.stdout;
        let status: Value = serde_json::from_str(&told).ok()?;
        let voters = status["voters"].as_array()?.len();
        (status["leader"]["name"] == name && status["leader"]["fresh"] == true && voters == 1).then_some(())
    };
    agents.ctl(1).run(CREATE)?;
    agents.ctl(2).run("node demote node1")?;
    until("node2 leads alone", SOON, || leads(2, "node2"))?;
    assert_eq!(agents.ctl(2).run("service scale sleep-app=4")?.stdout, "sleep-app: 4/4 running");
    agents.ctl(2).refused("node demote node2", 1, "without a control node")?;

    agents.ctl(2).run("node promote node1")?;
    agents.ctl(1).run("node demote node2")?;
    until("node1 leads alone", SOON, || leads(1, "node1"))?;
    assert_eq!(agents.ctl(1).run("service scale sleep-app=2")?.stdout, "sleep-app: 2/2 running");
    Ok(())
}

/// Whoever waits for a task that does not heed its signal is told until when.
#[test]
fn a_task_that_takes_its_time_to_stop_is_told_of() -> Result<()> {
    let agents = Agents::formed(1)?;
    let deaf = agents.data_dir(1).join("deaf");
    fs::write(&deaf, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n").map_err(Error::on(&deaf))?;
    let create = format!(
        "service create --name deaf --stop-grace-period 2s --runtime process -- /bin/sh {}",
        deaf.display()
    );
    agents.ctl(1).run(&create)?;
    let removed = agents.ctl(1).run("service rm deaf")?;
    let told = removed.stderr.lines().any(|line| {
        line.starts_with("deaf.1  asked to stop on node1, killed at ")
            && line.contains(" if it has not ended")
    });
    assert!(told && removed.stdout == "deaf: removed", "{removed:?}");
    Ok(())
}

/// An engine that is not there is missed in silence otherwise: at the first start, and ever after.
#[test]
fn an_agent_without_its_engine_says_so_and_what_to_type() -> Result<()> {
    let mut agents = Agents::start(1)?;
    let nowhere = ("--docker-host", Path::new("/nonexistent/engine.sock"));
    let mut again = |driver: &str| {
        agents.kill_agent(1)?;
        let before = agents.logged(1)?.len();
        agents.start_agent_with(1, &[("--driver", Path::new(driver)), nowhere])?;
        Ok::<_, Error>(agents.logged(1)?.split_off(before))
    };
    let first = again("auto")?;
    assert!(first.contains("there is no container engine at unix:///nonexistent/engine.sock"), "{first}");
    let later = again("auto")?;
    assert!(later.contains("decided at the first start") && later.contains("--driver docker"), "{later}");
    again("docker")?;
    until("the agent says that its engine does not answer", SOON, || {
        let said = agents.logged(1).ok()?;
        said.contains("the container engine at unix:///nonexistent/engine.sock: ").then_some(())
    })
}

/// What is said to a peer that does not answer must not keep the port from the node's next life.
#[test]
fn a_node_leaves_while_a_peer_is_unreachable() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    agents.kill_agent(3)?;
    assert_eq!(agents.ctl(2).run("cluster leave -y")?.stdout, "node2 left the cluster");
    let token = agents.ctl(1).run("cluster token create -q")?.stdout;
    let join = format!("cluster join --token {token} {}", agents.address(1));
    until("node2 comes in again, as a new node", SOON, || agents.ctl(2).run(&join).ok())?;
    let logged = agents.logged(2)?;
    assert!(logged.contains("the agent goes on as a new node") && !logged.contains("not free"), "{logged}");
    Ok(())
}

/// Work comes back to a node that is active again only if the others have more than their share.
#[test]
fn dev_tells_its_story_on_any_number_of_nodes() -> Result<()> {
    for (nodes, then) in [(3, 4), (5, 5), (9, 9)] {
        let told =
            output(Command::new(binary("sleepctl")?).args(["dev", "--exit", "--nodes", &nodes.to_string()]))?;
        let last = format!("node{nodes} started again");
        let scaled = format!("{then}/{then} running");
        for said in [scaled.as_str(), "node2 is empty", "work came back", "all running again", &last] {
            assert!(told.contains(said), "`{said}` is not told of {nodes}:\n{told}");
        }
    }
    Ok(())
}

fn sorted(mut spread: Vec<usize>) -> Vec<usize> {
    spread.sort_unstable();
    spread
}

/// Every process of every node.
fn everything(agents: &Agents) -> Vec<BTreeMap<String, i32>> {
    (1..=3).map(|number| agents.processes(number)).collect()
}

fn token_ids(ctl: &Ctl) -> Result<BTreeSet<String>> {
    let tokens = ctl.list::<Value>("cluster token ls")?;
    Ok(tokens.iter().filter_map(|token| Some(token["id"].as_str()?.to_owned())).collect())
}
