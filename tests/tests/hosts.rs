//! The hosts of the lab: they are machines as a user has them, and nothing of them is left.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sleep_tests::hosts::{Host, IMAGE, IMAGE_2, Lab};
use sleep_tests::process::{binary, output};
use sleep_tests::wait::until;
use sleep_tests::{Error, Result};

/// For what takes a moment on an idle machine.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn three_hosts_are_up_and_gone_again() -> Result<()> {
    let before = machine();
    let start = Instant::now();
    let lab = Lab::start(3)?;
    let up = start.elapsed();
    for host in lab.hosts() {
        assert_eq!(output(&mut host.command("hostname"))?, host.name());
        assert_eq!(
            host.docker(["info", "--format", "{{.Name}} {{.Driver}}"])?,
            format!("{} overlay2", host.name())
        );
        host.unmanaged_container()?;
    }
    let traces = lab.traces();
    assert!(!traces.found().is_empty(), "what cannot be found alive is not missed when dead");

    let end = Instant::now();
    lab.end()?;
    println!("three hosts: up in {up:.1?}, gone in {:.1?}", end.elapsed());
    assert_none(&traces.found());
    assert_eq!(machine(), before);
    Ok(())
}

#[test]
fn hosts_reach_each_other_by_name_until_a_cable_is_cut() -> Result<()> {
    let lab = Lab::without_engines(3)?;
    let [one, two, three] = lab.hosts() else { panic!("three were asked for") };
    for (from, to) in [(one, two), (two, three), (three, one)] {
        assert!(pings(from, to), "{} does not reach {}", from.name(), to.name());
    }

    two.unplug()?;
    assert!(!pings(one, two) && !pings(two, three) && pings(one, three));
    two.plug_in()?;
    assert!(reaches(one, two) && reaches(two, three));

    lab.split(&[one], &[two, three])?;
    assert!(!pings(one, two) && !pings(three, one) && pings(two, three));
    // A fault is in the network: a host that restarts is still cut off.
    one.power_off()?;
    one.power_on()?;
    assert!(!pings(one, two) && pings(three, two));
    lab.heal()?;
    assert!(reaches(one, two) && reaches(three, one));

    lab.lose(one, two, 1.0)?;
    assert!(!hears(two, one)? && hears(one, two)?, "one way is cut, and the other is not");
    Ok(())
}

#[test]
fn some_packets_are_lost_and_some_arrive() -> Result<()> {
    let lab = Lab::without_engines(2)?;
    let [one, two] = lab.hosts() else { panic!("two were asked for") };
    lab.lose(one, two, 0.5)?;
    let mut ping = one.command("busybox");
    let report = ping.args(["ping", "-q", "-c", "100", "-i", "0.01", "-W", "1", two.name()]).output();
    let report = report.map_err(|error| Error::new(error.to_string()))?;
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let lost: u32 = report
        .split_once("% packet loss")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
        .ok_or_else(|| Error::new(format!("ping reports no loss: {report}")))?;
    // 100 throws of a coin: outside of this once in ten million runs.
    assert!((24..=76).contains(&lost), "{report}");
    Ok(())
}

#[test]
fn a_published_port_is_reached_from_another_host() -> Result<()> {
    let lab = Lab::start(2)?;
    let [one, two] = lab.hosts() else { panic!("two were asked for") };
    let serve = "echo hello >/tmp/index.html; httpd -f -p 80 -h /tmp";
    let id = one.docker(["run", "-d", "-p", "8080:80", "--label", "a=b", IMAGE, "sh", "-c", serve])?;

    let fetch = || two.command("busybox").args(["wget", "-q", "-O", "-", "http://node1:8080"]).output();
    let hello = until("node1:8080 answers node2", SOON, || {
        fetch().ok().filter(|answer| answer.status.success()).map(|answer| answer.stdout)
    })?;
    assert_eq!(hello, b"hello\n");

    let containers = one.engine().containers()?;
    let [container] = containers.as_slice() else { panic!("one was started: {containers:?}") };
    assert_eq!((container.id.as_str(), container.state.as_str()), (id.as_str(), "running"));
    assert_eq!(container.labels, [("a".to_owned(), "b".to_owned())].into());
    assert_eq!(two.engine().containers()?, []);

    // An image is known by its id, and a host must not see another one there than its neighbour does.
    for image in [IMAGE, IMAGE_2] {
        let id = |host: &Host| host.docker(["image", "inspect", "--format", "{{.Id}}", image]);
        assert_eq!(id(one)?, id(two)?);
    }
    let id = |image: &str| one.docker(["image", "inspect", "--format", "{{.Id}}", image]);
    assert_ne!(id(IMAGE)?, id(IMAGE_2)?);
    Ok(())
}

#[test]
fn an_engine_hangs_dies_and_comes_back() -> Result<()> {
    let lab = Lab::start(1)?;
    let host = lab.host(1);
    let id = host.unmanaged_container()?;
    let started_at = only_container(host, &id)?.started_at;

    host.engine().pause()?;
    let mut list = host.spawn("list", &mut host.command("docker"))?;
    list.wait(SOON)?;
    let mut list = host.command("docker");
    let mut list = host.spawn("list", list.arg("ps"))?;
    assert!(list.wait(Duration::from_secs(1)).is_err(), "a hung engine must not answer");
    host.engine().resume()?;
    assert!(list.wait(SOON)?.success());

    host.engine().kill()?;
    assert!(host.docker(["ps"]).is_err());
    // Its containers run on; this flag lets a new engine take them over.
    host.engine().start_with(&["--live-restore"])?;
    let container = only_container(host, &id)?;
    assert_eq!((container.state.as_str(), container.started_at), ("running", started_at));

    host.power_off()?;
    host.power_on()?;
    host.engine().start()?;
    let container = only_container(host, &id)?;
    assert_eq!(container.state, "exited", "the disk remembers what the power cut ended");
    host.engine().stop()
}

/// `sleepctl dev` on a machine with an engine: its three agents share it, and it is as it was afterwards.
#[test]
fn dev_tells_its_story_on_one_engine_and_leaves_nothing() -> Result<()> {
    let lab = Lab::start(1)?;
    let host = lab.host(1);
    host.unmanaged_container()?;
    let before = host.engine().containers()?;
    let mut dev = host.command(binary("sleepctl")?);
    let told = output(dev.args(["dev", "--exit", "--driver", "docker", "--image", IMAGE]))?;
    for said in ["7/7 running", "4/4 running", "node2 is empty", "all running again", "node3 started again"] {
        assert!(told.contains(said), "`{said}` is not told:\n{told}");
    }
    // A plug that is pulled takes the containers too: what runs again runs elsewhere, and once.
    let again = told.lines().find(|line| line.contains("all running again")).unwrap_or_default();
    assert!(!again.contains("node3"), "{again}");
    assert_eq!(host.engine().containers()?, before);
    lab.end()
}

#[test]
fn a_suspended_host_does_nothing_until_it_resumes() -> Result<()> {
    let lab = Lab::without_engines(2)?;
    let [one, two] = lab.hosts() else { panic!("two were asked for") };
    let mut serve = two.command("busybox");
    let _serve = two.spawn("serve", serve.args(["httpd", "-f", "-p", "80"]))?;
    let answers = |limit: &str| {
        let mut fetch = one.command("busybox");
        let answer =
            fetch.args(["timeout", limit, "busybox", "wget", "-S", "-O", "-", "http://node2/"]).output();
        answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.stderr).contains("HTTP/1."))
    };
    until("node2 serves", SOON, || answers("5").then_some(()))?;
    two.suspend()?;
    assert!(!answers("1"));
    two.resume()?;
    assert!(answers("5"));
    // What is frozen can still be removed.
    two.suspend()?;
    let traces = lab.traces();
    lab.end()?;
    assert_none(&traces.found());
    Ok(())
}

#[test]
fn a_killed_test_leaves_nothing() -> Result<()> {
    let before = machine();
    let mut test = Command::new(env!("CARGO_BIN_EXE_hosts_up"))
        .arg("2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Error::new(error.to_string()))?;
    let stdout = BufReader::new(test.stdout.take().expect("it was asked for as a pipe"));
    let mut lines = stdout.lines().map_while(std::result::Result::ok);
    assert!(lines.any(|line| line.starts_with("they go")), "the hosts are not up");
    assert_ne!(machine(), before);

    test.kill().map_err(|error| Error::new(error.to_string()))?;
    test.wait().map_err(|error| Error::new(error.to_string()))?;
    until("the machine is as it was", SOON, || (machine() == before).then_some(()))
}

/// When even the undertaker is dead, files and control groups stay. Nobody holds their lock.
#[test]
fn the_next_lab_removes_what_a_dead_one_left() -> Result<()> {
    let dead = "sleep-lab-0-dead";
    let folder = std::env::temp_dir().join(dead);
    let hierarchies = ["freezer", "memory", "."].map(|name| Path::new("/sys/fs/cgroup").join(name));
    let groups =
        hierarchies.iter().filter(|hierarchy| hierarchy.is_dir()).map(|hierarchy| hierarchy.join(dead));
    let groups: Vec<_> = groups.collect();
    for group in &groups {
        fs::create_dir_all(group.join("node1/host")).map_err(|error| Error::new(error.to_string()))?;
    }
    fs::create_dir_all(folder.join("node1/var-lib/docker")).map_err(|error| Error::new(error.to_string()))?;

    let lab = Lab::without_engines(1)?;
    assert!(!folder.exists() && groups.iter().all(|group| !group.exists()));
    // One that lives is locked, and stays.
    let traces = lab.traces();
    let before = traces.found();
    Lab::without_engines(1)?.end()?;
    assert_eq!(traces.found(), before);
    lab.end()
}

/// What of the machine itself a lab might leave behind: links, mounts, control groups, folders.
fn machine() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |folder: &str, wanted: fn(&str) -> bool| {
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned()).filter(|name| wanted(name));
        found.extend(names.map(|name| format!("{folder}/{name}")));
    };
    add("/run/netns", |_| true);
    add("/sys/class/net", |name| name.starts_with("node") || name.starts_with("br"));
    add("/etc", |name| name == "docker");
    add("/opt", |name| name == "containerd");
    add("/var/lib", |name| ["docker", "containerd"].contains(&name));
    add(&std::env::temp_dir().to_string_lossy(), is_lab);
    for group in ["", "freezer", "memory", "systemd", "unified"] {
        add(&format!("/sys/fs/cgroup/{group}"), is_lab);
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    found.extend(mounts.lines().filter(|line| line.contains("sleep-lab-")).map(str::to_owned));
    found
}

fn is_lab(name: &str) -> bool {
    name.starts_with("sleep-lab-")
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "still there:\n{}", found.join("\n"));
}

fn only_container(host: &Host, id: &str) -> Result<sleep_tests::hosts::Container> {
    let containers = host.engine().containers()?;
    let [container] = containers.as_slice() else { panic!("one was started: {containers:?}") };
    assert_eq!(container.id, id);
    Ok(container.clone())
}

fn pings(from: &Host, to: &Host) -> bool {
    let mut ping = from.command("busybox");
    output(ping.args(["ping", "-q", "-c", "1", "-W", "1", to.name()])).is_ok()
}

/// As [`pings`], for as long as a port may take to come up again.
fn reaches(from: &Host, to: &Host) -> bool {
    until("they reach each other", SOON, || pings(from, to).then_some(())).is_ok()
}

/// Whether `to` receives what `from` sends, answered or not: its count of pings rises.
fn hears(to: &Host, from: &Host) -> Result<bool> {
    let count = || {
        let snmp = output(to.command("cat").arg("/proc/net/snmp"))?;
        let [heads, values] = snmp.lines().filter(|line| line.starts_with("Icmp:")).collect::<Vec<_>>()[..]
        else {
            return Err(Error::new(format!("no counts of ICMP in: {snmp}")));
        };
        let count = heads.split(' ').zip(values.split(' ')).find(|(head, _)| *head == "InEchos");
        count
            .map(|(_, value)| value.to_owned())
            .ok_or_else(|| Error::new(format!("no count of pings in: {heads}")))
    };
    let before = count()?;
    pings(from, to);
    Ok(count()? != before)
}
