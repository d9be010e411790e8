//! What breaks around agents that are healthy themselves, on hosts with a network, a disk and an engine of
//! their own: each fault is told in words, nothing is lost, and what heals is as if it had never been.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sleep_tests::cluster::Cluster;
use sleep_tests::ctl::Ctl;
use sleep_tests::hosts::{Host, IMAGE, Lab};
use sleep_tests::process::output;
use sleep_tests::wait::until;
use sleep_tests::{Error, Result};

/// For what a cluster does by itself, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_majority_goes_on_without_its_leader_and_a_minority_says_that_it_is_one() -> Result<()> {
    let lab = Lab::without_engines(3)?;
    let cluster = Cluster::formed(&lab)?;
    cluster.ctl(2).run(&create("web", 3))?;
    all_vote(&cluster)?;
    let alone = cluster.leader()?;
    let others: Vec<u8> = cluster.numbers().into_iter().filter(|number| *number != alone).collect();
    let [one, two] = others[..] else { panic!("three were formed") };
    let kept = cluster.processes(alone);
    assert_eq!(kept.len(), 1);

    lab.split(&[lab.host(alone)], &[lab.host(one), lab.host(two)])?;
    until("the majority has another leader", SOON, || {
        let leader = cluster.ctl(one).nodes().ok()?.into_iter().find(|node| node.leader)?.name;
        (leader != format!("node{alone}")).then_some(())
    })?;
    cluster.ctl(two).run("service scale web=6")?;
    let running = |number| cluster.processes(number).len();
    until("the majority runs all six", SOON, || (running(one) + running(two) == 6).then_some(()))?;

    let minority = format!("seen from node{alone}: 1 of 3 nodes; writes merge when the split heals");
    until("the minority knows that it is one", SOON, || {
        cluster.ctl(alone).attempt("node ls").ok().filter(|answer| answer.stderr == minority)
    })?;
    // It takes what it is told, and starts nothing by itself.
    let answer = cluster.ctl(alone).run(&format!("-d {}", create("late", 1)))?;
    assert!(answer.stderr.starts_with(&minority), "{}", answer.stderr);
    assert_eq!(cluster.processes(alone), kept, "what runs in a minority runs on, and nothing else");

    lab.heal()?;
    until("both sides' services run as often as they should", SOON, || {
        let counts = |number| Some((count(&cluster, number, "web")?, count(&cluster, number, "late")?));
        let all = cluster.numbers().into_iter().all(|number| counts(number) == Some((6, 1)));
        (all && cluster.numbers().into_iter().map(running).sum::<usize>() == 7).then_some(())
    })?;
    all_tell_the_same(&cluster, "web")?;
    all_tell_the_same(&cluster, "late")?;
    cluster.leader()?;
    assert_eq!(cluster.ctl(alone).run("node ls")?.stderr, "", "nobody is a minority any more");
    lab.end()
}

#[test]
fn loss_of_packets_one_way_or_by_chance_moves_no_work() -> Result<()> {
    let lab = Lab::without_engines(3)?;
    let cluster = Cluster::formed(&lab)?;
    cluster.ctl(3).run(&create("web", 3))?;
    all_vote(&cluster)?;
    let processes = || cluster.numbers().into_iter().map(|number| cluster.processes(number));
    let before: Vec<_> = processes().collect();
    let leader = cluster.leader()?;
    let (deaf, third) = (leader % 3 + 1, (leader + 1) % 3 + 1);

    // Neither hears the other, though one of them could: the third stands between them.
    lab.lose(lab.host(leader), lab.host(deaf), 1.0)?;
    cluster.ctl(deaf).run("service scale web=6")?;
    cluster.ctl(leader).run("service update --label a=b web")?;
    assert_eq!(sizes(processes()), [2, 2, 2], "node{third} is not the only one that is given work");
    lab.heal()?;

    for (from, to) in pairs(lab.hosts()) {
        lab.lose(from, to, 0.1)?;
    }
    for (number, replicas) in [(1, 9), (2, 6), (3, 9)] {
        cluster.ctl(number).run(&format!("service scale web={replicas}"))?;
    }
    lab.heal()?;
    until("nine run", SOON, || (sizes(processes()) == [3, 3, 3]).then_some(()))?;
    for (then, now) in before.iter().zip(processes()) {
        assert!(then.iter().all(|task| now.get(task.0) == Some(task.1)), "moved: {then:?}, now {now:?}");
    }
    all_tell_the_same(&cluster, "web")?;
    lab.end()
}

/// What was acknowledged is there after each of these, and no task is started again.
#[test]
fn a_disk_that_is_full_dying_or_read_only_ends_the_agent_and_loses_nothing() -> Result<()> {
    let lab = Lab::without_engines(1)?;
    let host = lab.host(1);
    let on = |script: &str| output(host.command("sh").args(["-ec", script]));
    on("mkdir -p /var/lib/sleepd; mount -t tmpfs -o size=16m,mode=700 tmpfs /var/lib/sleepd")?;
    let mut cluster = Cluster::start(&lab)?;
    let ctl = cluster.ctl(1);
    ctl.run("cluster init")?;
    ctl.run(&create("web", 2))?;
    let running = cluster.processes(1);
    assert_eq!(running.len(), 2);
    let mut told = Told::default();

    // Full, under an agent that runs.
    on("dd if=/dev/zero of=/var/lib/sleepd/ballast bs=4k 2>/dev/null || true")?;
    told.until_it_ends(&mut cluster, "full")?;
    assert_eq!(cluster.agent_ends(1)?.code(), Some(1));
    ctl.refused("service ls", 3, "no agent answers at")?;
    let full = "No space left on device";
    let last = said(&lab)?;
    assert!(last.starts_with("error: ") && last.contains(full), "{last}");
    // It may start again: there is some room within its file, and it lives until that is used up.
    cluster.spawn_agent(1, &[])?;
    told.until_it_ends(&mut cluster, "still-full")?;
    assert_eq!(cluster.agent_ends(1)?.code(), Some(1));
    let last = said(&lab)?;
    assert!(last.starts_with("error: ") && last.contains(full), "{last}");
    on("rm /var/lib/sleepd/ballast")?;
    cluster.start_agent(1)?;
    told.is_kept(&ctl)?;
    cluster.kill_agent(1)?;

    // A disk that fails its syncs from some moment on.
    let failing = "inject=fdatasync,fsync:error=EIO:when=9+";
    cluster.spawn_agent(1, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", failing])?;
    told.until_it_ends(&mut cluster, "dying")?;
    assert_eq!(cluster.agent_ends(1)?.code(), Some(1));
    let last = said(&lab)?;
    assert!(last.starts_with("error: the store failed: "), "{last}");

    // Read-only: nothing can be begun there.
    on("mount --bind /var/lib/sleepd /var/lib/sleepd; mount -o remount,bind,ro /var/lib/sleepd")?;
    let (code, words) = cluster.agent_fails(1, &[])?;
    let named = words.contains("/var/lib/sleepd") && words.contains("Read-only file system");
    assert!(code == 1 && words.contains("error: ") && named, "exit code {code}: {words}");
    on("umount /var/lib/sleepd")?;
    cluster.start_agent(1)?;
    told.is_kept(&ctl)?;

    ctl.run("service scale web=2")?;
    assert_eq!(cluster.processes(1), running, "no task was started again");
    ctl.run("service scale web=3")?;
    lab.end()
}

/// The kernel kills the agent as it asks for its n-th sync, for many n.
#[test]
fn an_agent_that_dies_at_any_sync_keeps_what_it_acknowledged() -> Result<()> {
    let lab = Lab::without_engines(1)?;
    let mut cluster = Cluster::start(&lab)?;
    let ctl = cluster.ctl(1);
    ctl.run("cluster init")?;
    ctl.run(&create("web", 2))?;
    let running = cluster.processes(1);
    let mut told = Told::default();
    cluster.kill_agent(1)?;
    for sync in [1, 2, 3, 4, 5, 6, 8, 11] {
        let dies = format!("inject=fdatasync,fsync:signal=SIGKILL:when={sync}");
        cluster.spawn_agent(1, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &dies])?;
        told.until_it_ends(&mut cluster, &format!("at{sync}"))?;
        cluster.agent_ends(1)?;
        assert_eq!(cluster.processes(1), running, "tasks outlive their agent");
    }
    cluster.start_agent(1)?;
    told.is_kept(&ctl)?;
    ctl.run("service scale web=2")?;
    assert_eq!(cluster.processes(1), running, "no task was started again");
    lab.end()
}

#[test]
fn an_engine_that_hangs_or_is_gone_gets_no_new_work_and_loses_none() -> Result<()> {
    let lab = Lab::start(2)?;
    let mut cluster = Cluster::formed(&lab)?;
    let one = cluster.ctl(1);
    let web = format!("service create --name web --replicas 2 --stop-grace-period 1s {IMAGE} sleep infinity");
    one.run(&web)?;
    assert_eq!(cluster.spread()?, [1, 1]);
    let kept = cluster.managed(2)?;
    let engine = lab.host(2).engine();

    engine.pause()?;
    // An agent that starts has nothing to say of it yet: it is as it was when last looked at.
    cluster.kill_agent(2)?;
    cluster.start_agent(2)?;
    assert_eq!(runtime(&cluster.ctl(2), "node2")?, ("ready".to_owned(), String::new()));
    ill(&one, "node2", "in time")?;
    let others_run = |count| {
        let what = format!("node1 runs {count}");
        until(&what, SOON, || (cluster.running(1).ok()?.len() == count).then_some(()))
    };
    one.run("-d service scale web=5")?;
    others_run(4)?;
    engine.resume()?;
    well(&one, "node2")?;
    assert_eq!(cluster.managed(2)?, kept, "what ran there runs on, and nothing came to it");
    assert_eq!(cluster.spread()?, [4, 1]);

    cluster.ctl(2).run("service scale web=8")?;
    assert_eq!(cluster.spread()?, [4, 4]);
    let kept = cluster.managed(2)?;
    engine.kill()?;
    ill(&one, "node2", "cannot be reached")?;
    cluster.ctl(2).run("-d service scale web=10")?;
    others_run(6)?;
    engine.start_with(&["--live-restore"])?;
    well(&one, "node2")?;
    assert_eq!(cluster.managed(2)?, kept, "what ran there ran on");
    one.run("service rm web")?;

    two_agents_share_no_engine(&lab, &cluster)?;
    an_image_that_nobody_has_is_asked_for_now_and_then(&lab, &cluster)?;
    a_port_that_is_taken_keeps_its_task_waiting(&lab, &cluster)?;
    lab.end()
}

fn two_agents_share_no_engine(lab: &Lab, cluster: &Cluster<'_>) -> Result<()> {
    let host = lab.host(1);
    let mut second = host.command(sleep_tests::process::binary("sleepd")?);
    second.args(["--name", "second", "--data-dir", "/var/lib/second", "--listen", "10.77.0.1:7999"]);
    let second = host.spawn("second", second.args(["--socket", "/run/second.sock", "--api", "off"]))?;
    let ctl = Ctl::new(host.path("/run/second.sock"));
    until("the second agent answers", SOON, || ctl.answers().then_some(()))?;
    ctl.run("cluster init")?;
    ill(&ctl, "second", "another agent is running")?;
    let answer = ctl.attempt(&format!("service create --name mine {IMAGE} sleep infinity"))?;
    let refused = answer.code == 5 && answer.stderr.contains("another agent is running");
    assert!(refused, "{}", answer.unexpected());
    second.terminate(SOON)?;
    assert_eq!(runtime(&cluster.ctl(1), "node1")?.0, "ready", "the first has it still");
    assert_eq!(cluster.managed(1)?, []);
    Ok(())
}

fn an_image_that_nobody_has_is_asked_for_now_and_then(lab: &Lab, cluster: &Cluster<'_>) -> Result<()> {
    cluster.ctl(2).run("-d service create --name ghost localhost:1/ghost:1 sleep infinity")?;
    let pulls = || -> Result<Vec<Timestamp>> {
        let logs = lab.hosts().iter().map(|host| host.log("dockerd")).map(|log| read(&log));
        let text = logs.collect::<Result<Vec<_>>>()?.concat();
        let refused = text.lines().filter(|line| line.contains("/images/create returned error"));
        let mut at: Vec<Timestamp> = refused.map(logged_at).collect::<Result<_>>()?;
        at.sort_unstable();
        Ok(at)
    };
    let pulls = until("it was asked for three times", SOON, || pulls().ok().filter(|at| at.len() >= 3))?;
    let between = pulls[2].duration_since(pulls[0]);
    assert!(between.as_secs_f64() > 1.0, "a hot loop: {pulls:?}");
    let reason = until("the task says why it waits", SOON, || {
        let tasks = cluster.ctl(1).wanted("ghost").ok()?;
        tasks.into_iter().map(|task| task.error).find(|error| !error.is_empty())
    })?;
    assert!(reason.contains("localhost:1"), "{reason}");
    cluster.ctl(1).run("service rm ghost").map(drop)
}

fn a_port_that_is_taken_keeps_its_task_waiting(lab: &Lab, cluster: &Cluster<'_>) -> Result<()> {
    let serve =
        |host: &Host| host.spawn("serve", host.command("busybox").args(["httpd", "-f", "-p", "8080"]));
    let _one = serve(lab.host(1))?;
    let two = serve(lab.host(2))?;
    let create = format!("-d service create --name port --publish 8080:80 {IMAGE} sleep infinity");
    cluster.ctl(1).run(&create)?;
    let task = until("the task says why it waits", SOON, || {
        let tasks = cluster.ctl(2).tasks("port").ok()?;
        tasks.into_iter().find(|task| task.error.contains("8080"))
    })?;
    assert!(task.error.contains("port"), "{task:?}");
    two.kill()?;
    until("it runs where the port is free", SOON, || {
        let tasks = cluster.ctl(1).wanted("port").ok()?;
        tasks.iter().any(|task| task.state == "running" && task.node == "node2").then_some(())
    })?;
    cluster.ctl(2).run("service rm port").map(drop)
}

/// The services that were asked for while an agent was about to die.
#[derive(Default)]
struct Told {
    asked: BTreeSet<String>,
    /// Those of them whose command was acknowledged.
    acknowledged: BTreeSet<String>,
}

impl Told {
    /// Asks node1 for one service after the other until its agent has ended.
    fn until_it_ends(&mut self, cluster: &mut Cluster<'_>, name: &str) -> Result<()> {
        let ctl = cluster.ctl(1);
        until("the agent has ended", SOON, || {
            let name = format!("{name}-{}", self.asked.len());
            let answer = ctl.attempt(&format!("-d {}", create(&name, 0))).ok()?;
            if answer.code == 0 {
                self.acknowledged.insert(name.clone());
            }
            // Without an agent, nobody heard of it.
            self.asked.insert(name);
            cluster.has_ended(1).then_some(())
        })
    }

    fn is_kept(&self, ctl: &Ctl) -> Result<()> {
        let known: BTreeSet<String> = ctl.services()?.into_iter().map(|service| service.name).collect();
        assert!(self.acknowledged.is_subset(&known), "lost: {:?}", &self.acknowledged - &known);
        let made_up: Vec<_> =
            known.iter().filter(|name| *name != "web" && !self.asked.contains(*name)).collect();
        assert!(made_up.is_empty(), "{made_up:?}");
        Ok(())
    }
}

/// A service of plain processes.
fn create(name: &str, replicas: u32) -> String {
    let policy = "--stop-grace-period 1s --runtime process";
    format!("service create --name {name} --replicas {replicas} {policy} -- sleep infinity")
}

/// Whether a split can be decided: before that, the founder votes alone.
fn all_vote(cluster: &Cluster<'_>) -> Result<()> {
    until("all vote", SOON, || {
        let answer = cluster.ctl(1).run("cluster status -o json").ok()?;
        let status: Value = serde_json::from_str(&answer.stdout).ok()?;
        (status["voters"].as_array()?.len() == cluster.numbers().len()).then_some(())
    })
}

/// How many tasks of a service run, as a node tells it.
fn count(cluster: &Cluster<'_>, number: u8, service: &str) -> Option<u32> {
    let services = cluster.ctl(number).services().ok()?;
    services.into_iter().find(|known| known.name == service).map(|known| known.running)
}

fn all_tell_the_same(cluster: &Cluster<'_>, service: &str) -> Result<()> {
    until("all nodes tell the same", SOON, || {
        let tell =
            |number| Some(cluster.ctl(number).run(&format!("service ps {service} -o json")).ok()?.stdout);
        let mut told: Vec<String> = cluster.numbers().into_iter().map(tell).collect::<Option<_>>()?;
        told.dedup();
        (told.len() == 1).then_some(())
    })
}

fn sizes<T>(processes: impl Iterator<Item = BTreeMap<String, T>>) -> Vec<usize> {
    processes.map(|processes| processes.len()).collect()
}

fn pairs(hosts: &[Host]) -> impl Iterator<Item = (&Host, &Host)> {
    let all = hosts.iter().flat_map(move |from| hosts.iter().map(move |to| (from, to)));
    all.filter(|(from, to)| from.name() != to.name())
}

/// What the agent of node1 has logged last.
fn said(lab: &Lab) -> Result<String> {
    Ok(read(&lab.host(1).log("sleepd"))?.lines().last().unwrap_or_default().to_owned())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).map_err(|error| Error::new(format!("{}: {error}", file.display())))
}

/// When the engine logged a line.
fn logged_at(line: &str) -> Result<Timestamp> {
    let at = line.split('"').nth(1).and_then(|at| at.parse().ok());
    at.ok_or_else(|| Error::new(format!("no time in: {line}")))
}

/// How a node is, and what is wrong with its engine.
fn runtime(ctl: &Ctl, node: &str) -> Result<(String, String)> {
    let nodes = ctl.list::<Value>(&format!("node inspect {node}"))?;
    let [node] = &nodes[..] else { return Err(Error::new(format!("one was asked for: {nodes:?}"))) };
    let runtimes = node["runtimes"].as_array().into_iter().flatten();
    let docker = runtimes.into_iter().find(|runtime| runtime["runtime"] == "docker");
    let ill = docker.and_then(|docker| docker["ill"].as_str()).unwrap_or("no docker").to_owned();
    Ok((node["status"].as_str().unwrap_or_default().to_owned(), ill))
}

/// Waits until a node says this of its engine.
fn ill(ctl: &Ctl, node: &str, words: &str) -> Result<()> {
    until(&format!("{node} is ill: {words}"), SOON, || {
        let (status, said) = runtime(ctl, node).ok()?;
        (status == "ill" && said.contains(words)).then_some(())
    })
}

fn well(ctl: &Ctl, node: &str) -> Result<()> {
    until(&format!("{node} is ready"), SOON, || (runtime(ctl, node).ok()?.0 == "ready").then_some(()))
}
