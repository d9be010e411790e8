//! Scenarios as files: TOML, with hosts by name and times with units.
//!
//! ```toml
//! name = "the router reboots"
//! nodes = 3
//! lasts = "2m"
//!
//! [[service]]
//! name = "web"
//! replicas = 3
//!
//! [[fault]]
//! at = "10s"
//! what = "cut"
//! nodes = ["node1"]
//! lasts = "45s"
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Fault, HostPlan, Scenario, ServicePlan, span};
use crate::engine::Faults;
use crate::world::{Network, SECOND, Time};

/// The most hosts that a file may ask for.
const HOSTS: usize = 10_000;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[serde(default)]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    story: String,
    #[serde(default)]
    seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<usize>,
    #[serde(with = "span", default = "minute")]
    lasts: Time,
    #[serde(with = "span", default = "half_minute")]
    growth_wait: Time,
    #[serde(with = "span", default, skip_serializing_if = "is_default")]
    impatience: Time,
    #[serde(with = "span::optional", default, skip_serializing_if = "Option::is_none")]
    users_every: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    network: Network,
    #[serde(default, skip_serializing_if = "is_default")]
    engines: Faults,
    #[serde(default, rename = "node", skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<HostPlan>,
    #[serde(default, rename = "service", skip_serializing_if = "Vec::is_empty")]
    services: Vec<ServicePlan>,
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Planned>,
}

#[derive(Serialize, Deserialize)]
struct Planned {
    #[serde(with = "span")]
    at: Time,
    #[serde(flatten)]
    fault: Fault<String>,
}

/// Reads a scenario.
///
/// # Errors
/// What is wrong with the text, with its line where that can be told.
pub fn read(text: &str) -> Result<Scenario, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let hosts = match (file.nodes, file.hosts) {
        (None, hosts) if !hosts.is_empty() => hosts,
        (Some(count), hosts) if hosts.is_empty() && (1..=HOSTS).contains(&count) => {
            (0..count).map(HostPlan::numbered).collect()
        }
        (Some(count), hosts) if hosts.is_empty() => {
            return Err(format!("`nodes = {count}`: there may be 1 to {HOSTS}"));
        }
        _ => return Err("say who there is: either `nodes = 3`, or a `[[node]]` table for each".to_owned()),
    };
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    if let Some(name) = doubled(&names) {
        return Err(format!("two nodes are called `{name}`"));
    }
    if let Some(host) = hosts.iter().find(|host| !(-900_000..=900_000).contains(&host.clock_ppm)) {
        return Err(format!("`{}`: a clock may be off by up to 900000 millionths", host.name));
    }
    if let Some(name) =
        doubled(&file.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>())
    {
        return Err(format!("two services are called `{name}`"));
    }
    let mut number = |name: String| {
        let found = names.iter().position(|known| *known == name);
        found.ok_or_else(|| format!("there is no node `{name}`; there are {}", names.join(", ")))
    };
    let mut faults = Vec::with_capacity(file.faults.len());
    for (count, planned) in file.faults.into_iter().enumerate() {
        let fault = planned.fault.map(&mut number).map_err(|why| format!("fault {}: {why}", count + 1))?;
        faults.push((planned.at, fault));
    }
    faults.sort_by_key(|(at, _)| *at);
    Ok(Scenario {
        name: file.name,
        story: file.story,
        seed: file.seed,
        services: file.services,
        lasts: file.lasts,
        growth_wait: file.growth_wait,
        impatience: file.impatience,
        network: file.network,
        engines: file.engines,
        users_every: file.users_every,
        faults,
        hosts,
    })
}

/// Writes a scenario so that [`read`] reads the same.
pub fn write(scenario: &Scenario) -> String {
    let plain = |(number, host): (usize, &HostPlan)| *host == HostPlan::numbered(number);
    let numbered = scenario.hosts.iter().enumerate().all(plain);
    let name = |host: usize| Ok::<_, std::convert::Infallible>(scenario.hosts[host].name.clone());
    let named = |(at, fault): &(Time, Fault)| {
        let Ok(fault) = fault.clone().map(&mut { name });
        Planned { at: *at, fault }
    };
    let file = File {
        name: scenario.name.clone(),
        story: scenario.story.clone(),
        seed: scenario.seed,
        nodes: numbered.then_some(scenario.hosts.len()),
        lasts: scenario.lasts,
        growth_wait: scenario.growth_wait,
        impatience: scenario.impatience,
        users_every: scenario.users_every,
        network: scenario.network,
        engines: scenario.engines,
        hosts: if numbered { Vec::new() } else { scenario.hosts.clone() },
        services: scenario.services.clone(),
        faults: scenario.faults.iter().map(named).collect(),
    };
    toml::to_string(&file).expect("a scenario is made of what TOML has")
}

fn doubled<'a>(names: &[&'a str]) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.iter().copied().find(|name| !seen.insert(*name))
}

const fn minute() -> Time {
    60 * SECOND
}

const fn half_minute() -> Time {
    30 * SECOND
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos;
    use crate::sweep::nodes_of;

    #[test]
    fn what_a_seed_draws_is_read_as_it_is_written() {
        for seed in 0..200 {
            let drawn = chaos::draw(seed, nodes_of(seed));
            assert_eq!(read(&write(&drawn)), Ok(drawn), "seed {seed}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = [
            ("nodes = 0", "1 to"),
            ("lasts = \"1m\"", "who there is"),
            ("nodes = 3\nlasts = \"soon\"", "`soon` is no time"),
            ("nodes = 3\nlength = \"1m\"", "length"),
            ("nodes = 3\n[[fault]]\nat = \"1s\"\nwhat = \"kill\"\nnode = \"pi-1\"", "no node `pi-1`"),
            ("nodes = 3\n[[fault]]\nat = \"1s\"\nwhat = \"melt\"\nnode = \"node1\"", "melt"),
            ("nodes = 3\n[[fault]]\nat = \"1s\"\nwhat = \"kill\"\nnode = \"node1\"\nfor = \"1s\"", "for"),
            ("[[node]]\nname = \"a\"\n[[node]]\nname = \"a\"", "two nodes"),
            (
                "nodes = 1\n[[service]]\nname = \"a\"\nreplicas = 1\n[[service]]\nname = \"a\"\nreplicas = 2",
                "two s",
            ),
        ];
        for (text, told) in wrong {
            let error = read(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
