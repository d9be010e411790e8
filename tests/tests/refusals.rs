//! What agents refuse, in which words and with which exit code; and whom they let in.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sleep_tests::agents::Agents;
use sleep_tests::process::binary;
use sleep_tests::wait::until;
use sleep_tests::{Error, Result};

/// For what a cluster does by itself, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() -> Result<()> {
    let agents = Agents::start(1)?;
    let one = agents.ctl(1);
    one.run("cluster init")?;
    let process = "--name a --runtime process";
    for (line, words) in [
        ("service create --name a library/Nginx", "the image is `library/Nginx`: its name has upper-case"),
        ("service create --name a nginx@sha256:1", "its digest is none"),
        (
            &format!("service create {process} --label io.sleepd.x=1 -- sleep 9"),
            "`--label` has `io.sleepd.x`",
        ),
        (&format!("service create {process} -l a\u{1}b=1 -- sleep 9"), "blanks and control characters"),
        (&format!("service create {process} -e a\u{1}b=1 -- sleep 9"), "`--env` has the name `a"),
        (
            &format!("service create {process} --constraint node.name==a==b -- sleep 9"),
            "has `node.name==a==b`: its value `a==b` has a second operator in it",
        ),
        (
            &format!(
                "service create {process} --constraint node.name==a --constraint node.name!=a -- sleep 9"
            ),
            "has `node.name!=a`: no node satisfies it and `node.name==a` too",
        ),
        ("node label node1 io.sleepd.x=1", "`io.sleepd.x` begins with `io.sleepd.`, which is reserved"),
    ] {
        one.refused(line, 2, words)?;
        one.refused(line, 2, "nothing changed")?;
    }
    // No wrong value, but a wrong way.
    one.refused("node rm -y node1", 1, "a node is not removed through itself: it leaves")?;
    assert_eq!(one.services()?, []);
    one.run(&format!("service create {process} -- sleep infinity"))?;
    one.refused("service update --runtime docker a", 2, "the image is empty")?;
    one.refused("service rm aa bb", 1, "no service `aa`")?;
    assert_eq!(one.run("service update --runtime process a")?.stdout, "a: 1/1 running");
    Ok(())
}

#[test]
fn an_operator_is_let_in_until_the_key_is_taken_out() -> Result<()> {
    let agents = Agents::formed(2)?;
    let key = agents.data_dir(3);
    let from_afar = |number: u8| -> Result<(Option<i32>, String)> {
        let host = format!("quic://{}", agents.address(number));
        let output = Command::new(binary("sleepctl")?)
            .env_remove("SLEEPD_HOST")
            .args(["-H", &host, "--operator-key"])
            .arg(&key)
            .args(["node", "ls", "-o", "name"])
            .output()
            .map_err(|error| Error::new(error.to_string()))?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).trim_end().to_owned()))
    };
    agents.ctl(1).run(&format!("operator create ada --key {}", key.display()))?;
    for number in [1, 2] {
        until(&format!("node{number} knows her"), SOON, || {
            let operators = agents.ctl(number).list::<Value>("operator ls").ok()?;
            (operators.len() == 1 && operators[0]["name"] == "ada" && operators[0]["creator"] == "node1")
                .then_some(())
        })?;
        assert_eq!(from_afar(number)?, (Some(0), "node1\nnode2".to_owned()));
    }
    agents.ctl(2).refused("operator rm ada", 2, "this wants to be confirmed")?;
    agents.ctl(2).refused("operator rm -y dad", 1, "no operator `dad`")?;
    assert_eq!(agents.ctl(2).run("operator rm -y ada")?.stdout, "ada: removed");
    for number in [1, 2] {
        until(&format!("node{number} does not let her in"), SOON, || {
            (from_afar(number).ok()?.0 == Some(3)).then_some(())
        })?;
        assert_eq!(agents.ctl(number).list::<Value>("operator ls")?, [] as [Value; 0]);
    }
    agents.ctl(1).refused("operator rm -y ada", 1, "no operator `ada`")?;
    assert!(Path::new(&key).exists(), "the key is her own");
    Ok(())
}

/// A command that names no program: it says so wherever somebody looks.
#[test]
fn what_never_began_says_so() -> Result<()> {
    let agents = Agents::formed(2)?;
    let one = agents.ctl(1);
    let create = "service create --name none --restart-condition none --runtime process -- /no/such/program";
    let answer = one.attempt(create)?;
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    let said = "the command cannot be run: /no/such/program: No such file";
    assert!(answer.stderr.contains(said), "{}", answer.stderr);
    for number in [1, 2] {
        until(&format!("node{number} has heard of it"), SOON, || {
            agents.ctl(number).run("why none").ok()?.stdout.contains(said).then_some(())
        })?;
        let why = agents.ctl(number).run("why none")?.stdout;
        assert!(why.starts_with("none: 0 of 1 task as they should be; 1 failed"), "{why}");
        assert!(
            why.contains("none.1  failed on node") && why.contains("it could not be started once"),
            "{why}"
        );
        agents.ctl(number).refused(
            "logs none",
            1,
            "none.1 could not be started: the command cannot be run",
        )?;
    }
    Ok(())
}
