//! The acceptance path: three hosts with an engine each, and the story that a new user tells of them, each
//! command sent to another node than the one before.
//!
//! # Invariants
//! They are checked by machine, and have these names here:
//! - B1: a container that no cluster started is not touched, whatever is done.
//! - B2: tasks are spread evenly, and scaling down restarts nothing.
//! - B3: with start-first, a drain never lets the running count fall below the replica count.
//! - B4: after `activate` the spread is even again without a command.
//! - B5: every command is taken by every node, and they all tell the same within a second.
//! - B6: `service rm` leaves nothing on a node that was away.
//! - B7: nodes leave in any order, the first included.
//! - B8: killing the leader's agent between any two steps changes nothing but timing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sleep_tests::cluster::Cluster;
use sleep_tests::ctl::Answer;
use sleep_tests::hosts::{Container, IMAGE, Lab};
use sleep_tests::wait::until;
use sleep_tests::{Error, Result};

/// For what the cluster does by itself.
const SOON: Duration = Duration::from_secs(60);
/// Within which all nodes tell the same, once the cluster has come to rest.
const SAME: Duration = Duration::from_secs(1);

#[test]
fn the_story_of_the_lab() -> Result<()> {
    let lab = Lab::start(3)?;
    Story::begin(&lab)?.tell("", |_| Ok(()))?;
    lab.end()
}

#[test]
fn the_leaders_agent_is_killed_between_every_two_steps() -> Result<()> {
    let lab = Lab::start(3)?;
    Story::begin(&lab)?.tell("--stop-grace-period 1s", |story| {
        if story.formed == 0 {
            return Ok(());
        }
        let leader = story.leader()?;
        // What the engine is about to remove may be gone by the second look.
        let running = |story: &Story<'_>| -> Result<Vec<Container>> {
            let mut managed = story.cluster.managed(leader)?;
            managed.retain(|container| container.state == "running");
            Ok(managed)
        };
        let before = running(story)?;
        story.cluster.kill_agent(leader)?;
        story.cluster.start_agent(leader)?;
        assert_eq!(running(story)?, before, "B8: node{leader} adopts what runs there");
        println!("  killed the agent of node{leader}, which led");
        Ok(())
    })?;
    lab.end()
}

#[test]
fn nothing_is_left_of_a_service_that_was_removed_while_a_host_was_away() -> Result<()> {
    let lab = Lab::start(3)?;
    let mut cluster = Cluster::formed(&lab)?;
    let create =
        format!("service create --name NAME --replicas 6 --stop-grace-period 1s {IMAGE} sleep infinity");

    cluster.ctl(1).run(&create.replace("NAME", "first"))?;
    assert_eq!(cluster.spread()?, [2, 2, 2]);
    cluster.power_off(2)?;
    println!("rm with node2 off: {:.1?}", cluster.ctl(3).run("service rm first")?.took);
    cluster.power_on(2)?;
    println!("nothing left {:.1?} after node2 was back", none_left(&cluster)?);

    cluster.await_nodes("ready")?;
    cluster.ctl(2).run(&create.replace("NAME", "second"))?;
    assert_eq!(cluster.spread()?, [2, 2, 2]);
    lab.host(3).unplug()?;
    println!("rm with node3 unplugged: {:.1?}", cluster.ctl(1).run("service rm second")?.took);
    assert_eq!(cluster.spread()?, [0, 0, 2], "what cannot hear of its end runs on");
    lab.host(3).plug_in()?;
    println!("nothing left {:.1?} after node3 was back", none_left(&cluster)?);
    lab.end()
}

/// Waits until no host has a container of ours, running or not.
fn none_left(cluster: &Cluster<'_>) -> Result<Duration> {
    let start = Instant::now();
    until("B6: no host has a container of ours", SOON, || {
        let numbers = cluster.numbers();
        let left = numbers.into_iter().map(|number| cluster.managed(number));
        left.collect::<Result<Vec<_>>>().ok()?.iter().all(Vec::is_empty).then_some(())
    })?;
    Ok(start.elapsed())
}

/// How far the story is.
struct Story<'lab> {
    cluster: Cluster<'lab>,
    /// The container of node1 that no cluster knows of.
    unmanaged: Container,
    /// How many nodes are in the cluster: the first so many, or after the leaving the last.
    formed: u8,
    members: Vec<u8>,
    token: String,
}

type Step<'lab> = fn(&mut Story<'lab>, flags: &str) -> Result<()>;

impl<'lab> Story<'lab> {
    /// S1: a container that was started by hand; and agents, each for itself.
    fn begin(lab: &'lab Lab) -> Result<Self> {
        lab.host(1).unmanaged_container()?;
        let unmanaged = lab.host(1).engine().containers()?;
        let [unmanaged] = unmanaged.as_slice() else { panic!("one was started: {unmanaged:?}") };
        let unmanaged = unmanaged.clone();
        let cluster = Cluster::start(lab)?;
        Ok(Self { cluster, unmanaged, formed: 0, members: Vec::new(), token: String::new() })
    }

    /// S2 to S6, with something done between every two steps; `flags` are those of the service.
    fn tell(mut self, flags: &str, mut between: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let steps: [(&str, Step<'lab>); 14] = [
            ("S2: init on node1", |story, _| story.init()),
            ("S2: join node2", |story, _| story.join(2)),
            ("S2: join node3", |story, _| story.join(3)),
            ("S3: create", Self::create),
            ("S4: scale to 7", |story, _| story.scale_up()),
            ("S4: scale to 4", |story, _| story.scale_down()),
            ("S5: start-first", |story, _| story.start_first()),
            ("S5: drain node2", |story, _| story.drain()),
            ("S5: activate node2", |story, _| story.activate()),
            ("S6: rm", |story, _| story.remove()),
            ("S6: leave node1", |story, _| story.leave(1)),
            ("S6: leave node2", |story, _| story.leave(2)),
            ("S6: leave node3", |story, _| story.leave(3)),
            ("S6: init again", |story, _| story.init_again()),
        ];
        for (name, step) in steps {
            println!("{name}");
            step(&mut self, flags)?;
            let containers = self.cluster.lab().host(1).engine().containers()?;
            assert!(containers.contains(&self.unmanaged), "B1 after {name}: {containers:#?}");
            between(&mut self)?;
        }
        Ok(())
    }

    fn init(&mut self) -> Result<()> {
        let answer = self.say(1, "cluster init")?;
        assert!(answer.stdout.contains(" is now leading a cluster of 1\n"), "{}", answer.stdout);
        let line =
            answer.stdout.lines().find_map(|line| line.trim().strip_prefix("sleepctl cluster join --token "));
        let (token, _) = line.and_then(|line| line.split_once(' ')).expect("the line to paste is printed");
        token.clone_into(&mut self.token);
        self.members = vec![1];
        self.formed = 1;
        Ok(())
    }

    fn join(&mut self, number: u8) -> Result<()> {
        let line = format!("cluster join --token {} node1", self.token);
        assert_eq!(self.say(number, &line)?.stdout, format!("joined as node{number}"));
        self.members.push(number);
        self.formed += 1;
        self.all_see_each_other()
    }

    fn create(&mut self, flags: &str) -> Result<()> {
        let line = format!("service create --name sleep-app {flags} {IMAGE} sleep infinity");
        let answer = self.say(2, &line)?;
        assert_eq!(answer.stdout, "sleep-app: 1/1 running");
        assert_eq!(self.running()?.len(), 1);
        for number in self.members.clone() {
            let services = self.cluster.ctl(number).services()?;
            let [service] = services.as_slice() else { panic!("one was created: {services:?}") };
            assert_eq!((service.name.as_str(), service.desired), ("sleep-app", 1));
        }
        self.all_tell_the_same()
    }

    fn scale_up(&mut self) -> Result<()> {
        assert_eq!(self.say(3, "service scale sleep-app=7")?.stdout, "sleep-app: 7/7 running");
        assert_eq!(sorted(self.cluster.spread()?), [2, 2, 3], "B2");
        self.all_tell_the_same()
    }

    fn scale_down(&mut self) -> Result<()> {
        let before = self.running()?;
        assert_eq!(self.say(1, "service update --replicas 4 sleep-app")?.stdout, "sleep-app: 4/4 running");
        assert_eq!(sorted(self.cluster.spread()?), [1, 1, 2], "B2");
        let after = self.running()?;
        for (name, container) in &after {
            assert_eq!(before.get(name), Some(container), "B2: survivors keep slot, id and container");
        }
        until("what was stopped is removed too", SOON, || {
            let left = self.cluster.numbers().into_iter().map(|number| self.cluster.managed(number));
            let left: Vec<_> = left.collect::<Result<_>>().ok()?;
            (left.iter().map(Vec::len).sum::<usize>() == 4).then_some(())
        })?;
        self.all_tell_the_same()
    }

    fn start_first(&mut self) -> Result<()> {
        let before = self.running()?;
        self.say(2, "service update --update-order start-first sleep-app")?;
        assert_eq!(self.running()?, before, "how updates go is not a reason for one");
        self.all_tell_the_same()
    }

    fn drain(&mut self) -> Result<()> {
        let before = self.cluster.ctl(1).wanted("sleep-app")?;
        let (since, running) = (now(), self.running()?.len());
        assert_eq!(self.say(3, "node drain node2")?.stdout, "node2: drained");
        assert_eq!(self.cluster.running(2)?, [], "B3: it returns only when node2 has none");
        let least = self.least_running(since, running)?;
        assert_eq!((running, least), (4, 4), "B3: the running count never falls below the replica count");
        for number in self.members.clone() {
            until("node2 is ready and drained", SAME, || {
                let nodes = self.cluster.ctl(number).nodes().ok()?;
                let node = nodes.iter().find(|node| node.name == "node2")?;
                (node.status == "ready" && node.availability == "drained").then_some(())
            })?;
        }
        let tasks = self.cluster.ctl(2).tasks("sleep-app")?;
        for old in before.iter().filter(|task| task.node == "node2") {
            let new = tasks.iter().find(|task| task.name == old.name && task.desired == "running");
            assert!(new.is_some_and(|new| new.id != old.id && new.node != "node2"), "moved: {old:?} {new:?}");
            let history = tasks.iter().find(|task| task.id == old.id);
            assert!(history.is_some_and(|task| task.desired == "stopped"), "remembered: {old:?}: {tasks:#?}");
        }
        let table = self.cluster.ctl(2).run("service ps sleep-app")?.stdout;
        assert!(table.contains("\\_ sleep-app."), "{table}");
        self.all_tell_the_same()
    }

    fn activate(&mut self) -> Result<()> {
        self.say(1, "node activate node2")?;
        let start = Instant::now();
        until("B4: the spread is even again, without a command", SOON, || {
            (sorted(self.cluster.spread().ok()?) == [1, 1, 2]).then_some(())
        })?;
        println!("  even again after {:.1?}", start.elapsed());
        until("all tasks are as they should be", SOON, || {
            let tasks = self.cluster.ctl(3).wanted("sleep-app").ok()?;
            (tasks.len() == 4 && tasks.iter().all(|task| task.state == "running")).then_some(())
        })?;
        self.all_tell_the_same()
    }

    fn remove(&mut self) -> Result<()> {
        assert_eq!(self.say(2, "service rm sleep-app")?.stdout, "sleep-app: removed");
        assert_eq!(self.running()?, BTreeMap::new());
        for number in self.cluster.numbers() {
            assert_eq!(self.cluster.ctl(number).services()?, []);
        }
        // Engines take a moment to forget what has ended.
        none_left(&self.cluster).map(drop)
    }

    fn leave(&mut self, number: u8) -> Result<()> {
        let left = format!("node{number} left the cluster");
        assert_eq!(self.say(number, "cluster leave -y")?.stdout, left, "B7");
        self.members.retain(|member| *member != number);
        self.formed -= 1;
        self.cluster.ctl(number).refused("node ls", 1, "this node is in no cluster")?;
        self.all_see_each_other()
    }

    fn init_again(&mut self) -> Result<()> {
        for number in self.cluster.numbers() {
            self.say(number, "cluster init")?;
            assert_eq!(self.cluster.ctl(number).services()?, [], "B7: nothing is remembered");
        }
        Ok(())
    }

    fn say(&self, number: u8, line: &str) -> Result<Answer> {
        let answer = self.cluster.ctl(number).run(line)?;
        let shown: Vec<&str> = line.split(' ').filter(|word| !word.starts_with("sleepd-join-")).collect();
        println!("  node{number}: {}: {:.2?}", shown.join(" "), answer.took);
        Ok(answer)
    }

    /// Every container of the cluster that runs, by its name, which holds slot and task.
    fn running(&self) -> Result<BTreeMap<String, Container>> {
        let hosts = self.cluster.numbers().into_iter().map(|number| self.cluster.running(number));
        let found = hosts.collect::<Result<Vec<_>>>()?.into_iter().flatten();
        Ok(found.map(|container| (container.name.clone(), container)).collect())
    }

    /// The least number of containers that ran at any moment since then, by the engines' own books. There
    /// were `running` of them.
    fn least_running(&self, since: Duration, running: usize) -> Result<usize> {
        let (since, until) = (seconds(since), seconds(now()));
        let mut events: Vec<(u128, isize)> = Vec::new();
        for host in self.cluster.lab().hosts() {
            let format = "{{.TimeNano}} {{.Action}}";
            let filters = ["event=start", "event=die", "label=io.sleepd.cluster"];
            let mut arguments = vec!["events", "--since", &since, "--until", &until, "--format", format];
            arguments.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
            for line in host.docker(arguments)?.lines() {
                let event = line.split_once(' ').and_then(|(at, action)| {
                    Some((at.parse().ok()?, if action == "start" { 1 } else { -1 }))
                });
                events.push(event.ok_or_else(|| Error::new(format!("not an event: {line}")))?);
            }
        }
        events.sort_unstable();
        assert!(!events.is_empty(), "something moved");
        let mut count = running.cast_signed();
        let counts = events.iter().map(|(_, change)| {
            count += change;
            count
        });
        let least = counts.min().unwrap_or_default();
        Ok(usize::try_from(least).unwrap_or_default())
    }

    fn all_see_each_other(&self) -> Result<()> {
        for number in self.members.clone() {
            until(&format!("node{number} sees {} nodes ready", self.formed), SOON, || {
                let nodes = self.cluster.ctl(number).nodes().ok()?;
                let all =
                    nodes.len() == self.members.len() && nodes.iter().all(|node| node.status == "ready");
                all.then_some(())
            })?;
        }
        Ok(())
    }

    /// B5: all nodes tell the same of the service, to the letter.
    fn all_tell_the_same(&self) -> Result<()> {
        let tell =
            |number| self.cluster.ctl(number).run("service ps sleep-app -o json").map(|answer| answer.stdout);
        let same = until("B5: all nodes tell the same", SAME, || {
            let mut told: Vec<String> =
                self.members.iter().map(|number| tell(*number)).collect::<Result<_>>().ok()?;
            told.dedup();
            (told.len() == 1).then_some(())
        });
        same.or_else(|error| {
            let told = self.members.iter().map(|number| tell(*number)).collect::<Result<Vec<_>>>()?;
            Err(Error::new(format!("{error}:\n{}", told.join("\n"))))
        })
    }

    /// Who leads those that are in the cluster.
    fn leader(&self) -> Result<u8> {
        let asked = *self.members.first().ok_or_else(|| Error::new("nobody is in a cluster"))?;
        until("somebody leads", SOON, || {
            let nodes = self.cluster.ctl(asked).nodes().ok()?;
            nodes.into_iter().find(|node| node.leader)?.name.strip_prefix("node")?.parse().ok()
        })
    }
}

fn sorted(mut spread: Vec<usize>) -> Vec<usize> {
    spread.sort_unstable();
    spread
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// As the engine reads a moment.
fn seconds(at: Duration) -> String {
    format!("{}.{:09}", at.as_secs(), at.subsec_nanos())
}
