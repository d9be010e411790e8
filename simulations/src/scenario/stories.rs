//! Scenarios that come with the program: stories that people ask about, and what seeds once showed.
//!
//! # Not here
//! How a file is written: `simulations/scenarios/README.md`.

use super::{Scenario, file};
use crate::world::SECOND;

macro_rules! stories {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// By name: what `sleep-sim list` shows.
const STORIES: &[(&str, &str)] = stories![
    "a-pi-without-a-clock",
    "bad-cable",
    "bridge",
    "cellular-site",
    "demoted-leader",
    "disk-full",
    "empty-disk",
    "everybody-demoted",
    "everyone-restarts",
    "flip-flop",
    "found-0001",
    "found-0009",
    "found-0010",
    "found-0017",
    "found-0020",
    "found-0029",
    "found-0084",
    "found-0177",
    "found-0295",
    "found-0597",
    "found-1073",
    "found-1130",
    "found-1251",
    "found-all-demoted",
    "found-clock-below-its-word",
    "found-demoted-author",
    "found-demoted-sole-voter",
    "found-earlier-life",
    "found-end-of-another",
    "found-ended-before",
    "found-everybody-moved",
    "found-facts-of-an-earlier-life",
    "found-forgotten-epoch",
    "found-forgotten-start",
    "found-forgotten-stop",
    "found-hearsay",
    "found-heir-that-is-off",
    "found-hidden-attempt",
    "found-ill-for-ever",
    "found-ill-for-ever-2",
    "found-last-that-answers",
    "found-last-voters",
    "found-last-word",
    "found-late-answer",
    "found-late-confirmation",
    "found-late-slot",
    "found-late-words",
    "found-latecomer",
    "found-leads-until-its-heir-may",
    "found-lower-attempt",
    "found-moved-and-unheard",
    "found-nameless",
    "found-nameless-newcomers",
    "found-never-promoted",
    "found-nobody-who-stays-votes",
    "found-of-three-two",
    "found-of-two-neither",
    "found-old-announcements",
    "found-only-one-knows",
    "found-only-one-knows-2",
    "found-outdated-seats",
    "found-overstatements",
    "found-paused-with-two",
    "found-paused-with-two-2",
    "found-questions-that-cross",
    "found-recovered-by-a-worker",
    "found-removed-in-vain",
    "found-removed-leader",
    "found-same-boot",
    "found-seat-of-the-slow",
    "found-seats-of-the-dead",
    "found-self-deceived",
    "found-silent-newcomer",
    "found-slander",
    "found-slot-of-a-label",
    "found-sought-by-chance",
    "found-stale-door",
    "found-terms-of-another-generation",
    "found-three-silent-turns",
    "found-told-twice",
    "found-told-twice-alone",
    "found-unsafe-removal",
    "found-voice-of-an-earlier-life",
    "found-unheard-roll",
    "found-void-after-removal",
    "found-void-slot",
    "found-vote-on-its-way",
    "found-voters-of-before",
    "found-votes-of-the-dead",
    "found-withdrawn-promotion",
    "found-words-from-before",
    "found-worker-that-leaves",
    "hidden-attempts",
    "home-week",
    "hung-engine",
    "laptop-that-sleeps",
    "leader-in-the-minority",
    "new-router",
    "old-disk",
    "one-way-link",
    "quorum-lost",
    "recovered-on-both-halves",
    "recovered-while-others-moved",
    "rolling-upgrade",
    "split-2-1",
    "split-3-2",
    "stalled-disk",
    "worker-that-lies",
];

/// A story's text.
pub fn text(name: &str) -> Option<&'static str> {
    STORIES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// All of them, by name.
///
/// # Errors
/// One that cannot be read, which its test rules out.
pub fn all() -> Result<Vec<(&'static str, Scenario)>, String> {
    let read = |(name, text): &(&'static str, &'static str)| {
        Ok((*name, file::read(text).map_err(|why| format!("{name}: {why}"))?))
    };
    STORIES.iter().map(read).collect()
}

/// Those that do not last for more than six hours: the others take minutes each.
///
/// # Errors
/// One that cannot be read, which its test rules out.
pub fn short() -> Result<Vec<(&'static str, Scenario)>, String> {
    let mut stories = all()?;
    stories.retain(|(_, scenario)| !is_long(scenario));
    Ok(stories)
}

/// The names of those that do.
///
/// # Errors
/// One that cannot be read, which its test rules out.
pub fn long() -> Result<Vec<&'static str>, String> {
    Ok(all()?.into_iter().filter(|(_, scenario)| is_long(scenario)).map(|(name, _)| name).collect())
}

const fn is_long(scenario: &Scenario) -> bool {
    scenario.lasts > 6 * 3600 * SECOND
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_a_story_and_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files = fs::read_dir(folder).expect("it is part of the source").filter_map(|entry| {
            let path = entry.ok()?.path();
            path.extension().is_some_and(|end| end == "toml").then_some(())?;
            Some(path.file_stem()?.to_str()?.to_owned())
        });
        let known: BTreeSet<String> = STORIES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files.collect::<BTreeSet<_>>(), known);
        assert!(all().is_ok(), "{:?}", all());
    }
}
