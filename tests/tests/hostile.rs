//! What strangers and strange moments do to whole agents: nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use sleep_tests::agents::Agents;
use sleep_tests::noise::{Door, Noise, bad_requests, throw};
use sleep_tests::wait::until;
use sleep_tests::{Error, Result};

/// For what a cluster does by itself, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const CREATE: &str = "service create --name web --replicas 3 --stop-grace-period 1s --runtime process \
                      -- sleep infinity";

/// By how much an agent may grow, in KiB, whatever is thrown at it: connections half made, and their packets.
const GROWTH: u64 = 32 << 10;

#[test]
fn noise_at_every_door_changes_nothing() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    let api = free_port()?;
    agents.kill_agent(1)?;
    agents.start_agent_with(1, &[("--api", Path::new(&api.to_string()))])?;
    agents.ctl(1).run("service scale web=3")?;
    let (running, nodes, memory) = (everything(&agents), agents.ctl(1).nodes()?, agents.resident(1)?);

    let mut noise = Noise::new(7533);
    for _ in 0..10 {
        throw(agents.address(1), std::iter::once(Vec::new()).chain((0..1000).map(|_| noise.bytes(1400))))?;
        throw(agents.address(1), (0..1000).map(|_| noise.packet()))?;
        assert_eq!(agents.ctl(1).run("service scale web=3")?.stdout, "web: 3/3 running");
    }
    let doors = [Door::Unix(agents.socket(1)), Door::Tcp(api)];
    for door in &doors {
        for words in bad_requests() {
            let status = door.say(&words, SOON)?;
            let shown = String::from_utf8_lossy(&words[..words.len().min(200)]);
            assert!(status.is_some_and(|status| (400..500).contains(&status)), "{status:?} to {shown}");
        }
        for _ in 0..50 {
            let status = door.say(&noise.bytes(4096), Duration::from_millis(50))?;
            assert!(status.is_none_or(|status| (400..500).contains(&status)), "{status:?} to noise");
        }
        // More than it wants to read: it may hang up in the middle.
        door.say(&[b'a'; 8 << 20], SOON)?;
    }
    // Clients that begin, and never go on.
    let mut begun = Vec::new();
    for number in 0..200 {
        let mut line = doors[number % 2].open(SOON)?;
        line.write_all(b"GET /v1/nodes HTTP/1.1\r\nHost:").map_err(|error| Error::new(error.to_string()))?;
        begun.push(line);
    }

    assert_eq!(agents.ctl(1).run("service scale web=3")?.stdout, "web: 3/3 running");
    assert_eq!((everything(&agents), agents.ctl(2).nodes()?), (running, nodes));
    let grown = agents.resident(1)?.saturating_sub(memory);
    println!("grown by {grown} KiB");
    assert!(grown < GROWTH, "grown by {grown} KiB");
    let log = agents.logged(1)?;
    let bad = log.lines().find(|line| line.contains("panicked") || line.contains("ERROR"));
    assert_eq!(bad, None);
    drop(begun);
    Ok(())
}

/// Each command is under way when an agent dies: the one that took it, the one that leads, any.
#[test]
fn agents_that_are_killed_in_the_middle_of_work_start_no_task_twice() -> Result<()> {
    let mut agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    let mut noise = Noise::new(9);
    let kept = everything(&agents);
    for (round, replicas) in [6, 9, 4, 7, 3, 8].into_iter().enumerate() {
        let victim = u8::try_from(noise.below(3)).unwrap_or_default() + 1;
        let asked = u8::try_from(round % 3).unwrap_or_default() + 1;
        agents.ctl(asked).run(&format!("-d service scale web={replicas}"))?;
        agents.kill_agent(victim)?;
        agents.start_agent(victim)?;
        agents.ctl(victim).run(&format!("service scale web={replicas}"))?;
        until("as many run as should", SOON, || {
            (agents.spread().iter().sum::<usize>() == replicas).then_some(())
        })?;
        let tasks = agents.ctl(asked).tasks("web")?;
        let failed: Vec<_> = tasks.iter().filter(|task| task.state == "failed").collect();
        assert!(failed.is_empty(), "round {round}: {failed:?}");
    }
    for (then, now) in kept.iter().zip(everything(&agents)) {
        assert!(then.iter().all(|task| now.get(task.0) == Some(task.1)), "{then:?} became {now:?}");
    }
    Ok(())
}

#[test]
fn a_node_that_was_removed_is_replaced_and_may_join_as_a_new_one() -> Result<()> {
    let agents = Agents::formed(3)?;
    agents.ctl(1).run(CREATE)?;
    agents.ctl(1).run("-y node rm node3")?;
    until("the others run all three", SOON, || {
        (agents.spread()[..2].iter().sum::<usize>() == 3).then_some(())
    })?;
    assert_eq!(agents.ctl(2).nodes()?.len(), 2);
    agents.ctl(2).refused("-y node rm node3", 1, "node3")?;
    until("it knows that it was removed", SOON, || {
        agents.ctl(3).refused("service ls", 1, "this node is in no cluster").ok()
    })?;
    until("nothing of theirs runs there", SOON, || agents.processes(3).is_empty().then_some(()))?;

    // A token for one: it admits one.
    let token = agents.ctl(1).run("cluster token create -q --single-use")?.stdout;
    let line = format!("cluster join --token {token} {}", agents.address(2));
    assert_eq!(agents.ctl(3).run(&line)?.stdout, "joined as node3");
    until("it is a node again", SOON, || (agents.ctl(2).nodes().ok()?.len() == 3).then_some(()))?;
    agents.ctl(3).run("cluster leave -y")?;
    agents.ctl(3).refused(&line, 1, "token")?;
    assert_eq!(agents.ctl(2).run("service scale web=3")?.stdout, "web: 3/3 running");
    Ok(())
}

#[test]
fn a_file_in_the_place_of_the_socket_and_a_taken_port_of_the_api_are_left_alone() -> Result<()> {
    let agents = Agents::start(1)?;
    let file = agents.data_dir(1).join("precious");
    std::fs::write(&file, "precious").map_err(|error| Error::new(error.to_string()))?;
    let (other, elsewhere, any) = (agents.data_dir(2), agents.socket(2), Path::new("127.0.0.1:0"));
    let fails = |flag: &str, value: &Path, words: &str| -> Result<()> {
        let instead = [("--data-dir", &*other), ("--listen", any), ("--socket", &*elsewhere), (flag, value)];
        let (code, said) = agents.fails(&mut agents.command(1, &instead)?)?;
        assert!(code == 1 && said.contains("error: ") && said.contains(words), "exit code {code}: {said}");
        Ok(())
    };
    fails("--socket", &file, "precious")?;
    assert_eq!(std::fs::read(&file).ok().as_deref(), Some(b"precious".as_slice()));
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, _listener) = taken.map_err(|error| Error::new(error.to_string()))?;
    let address = address.to_string();
    fails("--api", Path::new(&address), &address)
}

fn free_port() -> Result<std::net::SocketAddr> {
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    taken.map_err(|error| Error::new(error.to_string()))
}

/// Every process of every node.
fn everything(agents: &Agents) -> Vec<BTreeMap<String, i32>> {
    (1..=3).map(|number| agents.processes(number)).collect()
}
