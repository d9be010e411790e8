//! What people type who know Docker, where this program has another word for it: one table.
//!
//! # Not here
//! What is spelled as in Docker: that is understood, and needs no table.

use super::Cli;

/// A habit: what is typed, and what to type here.
struct Habit {
    /// The verbs that it begins with.
    verbs: &'static str,
    /// A flag, with its value if it has one, that stands anywhere after them; empty for none. `*` in it is
    /// any text.
    flag: &'static str,
    /// What to type: `*` is that text, `…` all other words. Empty where there is nothing to type instead.
    here: &'static str,
    /// What there is to say of it; empty if the line alone says it.
    why: &'static str,
}

/// What to do instead of what was typed.
#[derive(Debug, PartialEq, Eq)]
pub struct Instead {
    /// What to type, after the program's name; empty if there is nothing.
    pub line: Vec<String>,
    /// What there is to say of it; empty if the line alone says it.
    pub why: &'static str,
}

const fn typed(verbs: &'static str, here: &'static str) -> Habit {
    Habit { verbs, flag: "", here, why: "" }
}

const fn flagged(verbs: &'static str, flag: &'static str, here: &'static str) -> Habit {
    Habit { verbs, flag, here, why: "" }
}

const fn missing(verbs: &'static str, flag: &'static str, why: &'static str) -> Habit {
    Habit { verbs, flag, here: "", why }
}

const VOLUMES: &str = "volumes and mounts are not in this release";
const NETWORKS: &str = "overlay networks are not in this release: --publish opens a port of the host";
const SECRETS: &str = "secrets and configs are not in this release";
const STACKS: &str = "stacks of compose files are not in this release";
const CHECKS: &str = "health checks are the image's own: they cannot be given here in this release";
const DRIVERS: &str = "output is read by `sleepctl logs`; other log drivers cannot be chosen";
const FILTERS: &str = "lists cannot be filtered in this release: `-o json` is for programs that can";
const IMAGES: &str = "each node fetches the images that it needs by itself";
const TERMINAL: &str = "a service has no terminal: its output is read by `sleepctl logs`";
const MOMENTS: &str =
    "output is not chosen by time in this release: --lines N shows the last, --timestamps when";
const ROLLBACK: &str = "there is no rollback in this release: update to what an earlier revision said";

/// The first that fits counts.
#[rustfmt::skip]
const HABITS: &[Habit] = &[
    typed("swarm init", "cluster init"),
    typed("swarm join-token", "cluster token create"),
    typed("swarm join", "cluster join …"),
    typed("swarm leave", "cluster leave …"),
    typed("swarm", "cluster --help"),
    flagged("node update", "--availability drain", "node drain …"),
    flagged("node update", "--availability pause", "node pause …"),
    flagged("node update", "--availability active", "node activate …"),
    flagged("node update", "--role manager", "node promote …"),
    flagged("node update", "--role worker", "node demote …"),
    flagged("node update", "--label-add *", "node label … *"),
    flagged("node update", "--label-rm *", "node label … *-"),
    typed("node update", "node --help"),
    typed("service rollback", "service history …").because(ROLLBACK),
    flagged("service update", "--rollback", "service history …").because(ROLLBACK),
    missing("service update", "--force", "a service is not started anew as long as nothing of it changes"),
    flagged("service update", "--env-add *", "service update --env * …"),
    flagged("service update", "--label-add *", "service update --label * …"),
    flagged("service update", "--container-label-add *", "service update --container-label * …"),
    flagged("service update", "--constraint-add *", "service update --constraint * …"),
    flagged("service update", "--publish-add *", "service update --publish * …"),
    flagged("service update", "--placement-pref-add spread=*", "service update --spread-by * …"),
    flagged("service create", "--placement-pref spread=*", "service create --spread-by * …"),
    flagged("service create", "--cap-add *", "").because("capabilities cannot be given in this release"),
    missing("service", "--mount *", VOLUMES),
    missing("service", "--mount-add *", VOLUMES),
    missing("service", "--volume *", VOLUMES),
    missing("service", "-v *", VOLUMES),
    missing("run", "--mount *", VOLUMES),
    missing("run", "--volume *", VOLUMES),
    missing("run", "-v *", VOLUMES),
    missing("service", "--network *", NETWORKS),
    missing("run", "--network *", NETWORKS),
    missing("service", "--secret *", SECRETS),
    missing("service", "--config *", SECRETS),
    missing("service", "--health-cmd *", CHECKS),
    missing("service", "--no-healthcheck", CHECKS),
    missing("service", "--log-driver *", DRIVERS),
    missing("service", "--log-opt *", DRIVERS),
    missing("service", "--with-registry-auth", "logins to registries are not in this release"),
    missing("service", "--endpoint-mode *", "there is no load balancer: ports are the host's own"),
    missing("service", "--update-failure-action *", "an update that fails stops where it is"),
    missing("run", "--secret *", SECRETS),
    missing("run", "--config *", SECRETS),
    missing("run", "--rm", "what a task leaves behind is removed by itself, and it has no terminal"),
    missing("run", "-it", TERMINAL),
    missing("run", "-ti", TERMINAL),
    missing("run", "-i", TERMINAL),
    missing("run", "-t", TERMINAL),
    missing("run", "--interactive", TERMINAL),
    missing("run", "--tty", TERMINAL),
    missing("service", "--tty", TERMINAL),
    missing("logs", "--since *", MOMENTS),
    missing("logs", "--until *", MOMENTS),
    missing("service logs", "--since *", MOMENTS),
    missing("service logs", "--until *", MOMENTS),
    flagged("service ls", "--format *", "service ls -o json"),
    flagged("service ps", "--format *", "service ps -o json …"),
    flagged("node ls", "--format *", "node ls -o json"),
    flagged("service ps", "--no-resolve", "service ps …"),
    flagged("ps", "-a", "ps …").because("tasks that are over are listed with the others"),
    flagged("ps", "--all", "ps …").because("tasks that are over are listed with the others"),
    missing("service ls", "--filter *", FILTERS),
    missing("service ps", "--filter *", FILTERS),
    missing("node ls", "--filter *", FILTERS),
    missing("service ls", "-f *", FILTERS),
    missing("service ps", "-f *", FILTERS),
    missing("node ls", "-f *", FILTERS),
    typed("create", "service create …"),
    typed("update", "service update …"),
    typed("inspect", "service inspect …"),
    typed("info", "cluster status"),
    typed("container ls", "ps"),
    typed("container logs", "logs …"),
    typed("container", "ps"),
    typed("stop", "scale …=0"),
    missing("exec", "", "programs cannot be run in a task's container in this release"),
    missing("attach", "", TERMINAL),
    missing("build", "", "images are built elsewhere"),
    missing("pull", "", IMAGES),
    missing("images", "", IMAGES),
    missing("image", "", IMAGES),
    missing("volume", "", VOLUMES),
    missing("network", "", NETWORKS),
    missing("secret", "", SECRETS),
    missing("config", "", SECRETS),
    missing("stack", "", STACKS),
    missing("deploy", "", STACKS),
    missing("compose", "", STACKS),
    missing("login", "", "logins to registries are not in this release"),
    missing("context", "", "agents are named by -H or SLEEPD_HOST"),
];

impl Habit {
    const fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// What to type here, if this is what was typed.
    fn read(&self, typed: &[String]) -> Option<Instead> {
        let verbs: Vec<&str> = self.verbs.split(' ').collect();
        if typed.len() < verbs.len() || !typed.iter().zip(&verbs).all(|(word, verb)| word == verb) {
            return None;
        }
        let rest = &typed[verbs.len()..];
        let (value, others) = match self.flag {
            "" => (String::new(), rest.to_vec()),
            flag => taken(flag, rest)?,
        };
        let line = self.here.split(' ').filter(|word| !word.is_empty()).flat_map(|word| match word {
            "…" => others.clone(),
            word => vec![word.replace('*', &value).replace('…', &others.join(" "))],
        });
        Some(Instead { line: line.collect(), why: self.why })
    }
}

/// A flag's value, and the other words, if the flag is among them.
fn taken(flag: &str, words: &[String]) -> Option<(String, Vec<String>)> {
    let (name, pattern) = flag.split_once(' ').unwrap_or((flag, ""));
    for (at, word) in words.iter().enumerate() {
        let (value, length) = match word.strip_prefix(name) {
            Some("") if pattern.is_empty() => (String::new(), 1),
            Some("") => (words.get(at + 1)?.clone(), 2),
            Some(rest) if rest.starts_with('=') && !pattern.is_empty() => (rest[1..].to_owned(), 1),
            Some(_) | None => continue,
        };
        let matched = match pattern.strip_suffix('*') {
            Some(beginning) => value.strip_prefix(beginning),
            None => (value == pattern).then_some(""),
        };
        if let Some(text) = matched {
            return Some((text.to_owned(), [&words[..at], &words[at + length..]].concat()));
        }
    }
    None
}

/// What to do instead of what was typed, if somebody else's program understands that. Nothing is proposed
/// that this one would not understand.
pub fn instead(words: &[String]) -> Option<Instead> {
    let (before, typed) = words.split_at(Cli::first_verb(words));
    let found = HABITS.iter().find_map(|habit| Some((habit, habit.read(typed)?)));
    let (habit, Instead { line, why }) = found?;
    let whole: Vec<String> = before.iter().chain(&line).cloned().collect();
    if line.is_empty() || Cli::understands(&whole) {
        return Some(Instead { line: if line.is_empty() { line } else { whole }, why });
    }
    // With other flags of Docker's among the words: its verbs alone.
    let verbs = Cli::verbs(&habit.here.split(' ').map(str::to_owned).collect::<Vec<_>>());
    Some(Instead { line: verbs.into_iter().chain(["--help".to_owned()]).collect(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        instead(&words).map(|instead| format!("{}|{}", instead.line.join(" "), instead.why))
    }

    #[test]
    fn docker_s_words_lead_to_ours() {
        for (typed, expected) in [
            ("swarm init --advertise-addr eth0", "cluster init|"),
            ("-H pi-1 swarm join --token t a:7533", "-H pi-1 cluster join --token t a:7533|"),
            ("swarm ca", "cluster --help|"),
            ("node update --availability drain pi-1", "node drain pi-1|"),
            ("node update pi-1 --availability=active", "node activate pi-1|"),
            ("node update --label-add zone=a pi-1", "node label pi-1 zone=a|"),
            ("node update --label-rm zone pi-1", "node label pi-1 zone-|"),
            ("service update --env-add A=1 web", "service update --env A=1 web|"),
            (
                "service create --placement-pref spread=node.labels.zone nginx",
                "service create --spread-by node.labels.zone nginx|",
            ),
            ("service update --env-add A=1 --mount x web", "service update --help|"),
            ("stop web", "scale web=0|"),
        ] {
            assert_eq!(here(typed).as_deref(), Some(expected), "{typed}");
        }
        assert_eq!(here("service create --mount type=bind,src=/a,dst=/b nginx"), Some(format!("|{VOLUMES}")));
        assert_eq!(here("service create --mount"), None);
        assert_eq!(here("nonsense"), None);
    }

    /// What is proposed is understood here; what is not needed any more is taken out of the table.
    #[test]
    fn the_table_names_nothing_that_is_understood_and_proposes_nothing_that_is_not() {
        for Habit { verbs, flag, here, why } in HABITS {
            assert!(!here.is_empty() || !why.is_empty(), "{verbs} {flag}: says nothing");
            let example = |text: &str| {
                let text = text.replace("=*", "=label").replace("--publish *", "--publish 80:80");
                let text =
                    text.replace("label … *-", "label web zone-").replace('*', "a=b").replace('…', "web");
                text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            let proposed = match *here {
                "cluster join …" => example("cluster join --token t …"),
                "cluster leave …" => example("cluster leave --force"),
                here => example(here),
            };
            assert!(here.is_empty() || Cli::understands(&proposed), "{here}: is not understood");
            let typed = example(&format!("{verbs} {flag} web"));
            assert!(!Cli::understands(&typed), "{verbs} {flag}: is understood");
        }
    }
}
