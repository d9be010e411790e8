//! What an inspection says, in our words.

use bollard::models::{ContainerState, EventMessage, HealthStatusEnum};
use sleep_wire::WallTime;
use sleep_wire::task::{Exit, Health};

use crate::book::Died;
use crate::text;

/// What the health check says. An engine that is asked for a container without one says so or says nothing.
pub(crate) fn health(state: &ContainerState) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::None,
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
    }
}

/// The same, as a list's status text or an event's action ends: `Up 3 seconds (health: starting)`,
/// `health_status: healthy`.
pub(crate) fn health_of_text(text: &str) -> Health {
    let says = |words: &str| text.trim_end_matches(')').ends_with(words);
    if says("unhealthy") {
        Health::Unhealthy
    } else if says("healthy") {
        Health::Healthy
    } else if says("health: starting") || says("health_status: starting") {
        Health::Starting
    } else {
        Health::None
    }
}

/// When it last started, if it ever did.
pub(crate) fn started_at(state: &ContainerState) -> Option<WallTime> {
    state.started_at.as_deref().and_then(text::wall_time)
}

/// How it ended, if it ran and has ended.
pub(crate) fn exit(state: &ContainerState) -> Option<Exit> {
    let ended = state.running != Some(true) && started_at(state).is_some();
    ended.then(|| Exit { code: code(state.exit_code), out_of_memory: state.oom_killed == Some(true) })
}

/// The end of one that ran and has ended.
pub(crate) fn died(state: &ContainerState) -> Option<Died> {
    let at = state.finished_at.as_deref().and_then(text::wall_time).unwrap_or_else(text::now);
    exit(state).map(|exit| Died { code: exit.code, at })
}

/// When an event happened.
pub(crate) fn at(event: &EventMessage) -> WallTime {
    let seconds = || event.time.unwrap_or(0).saturating_mul(1000);
    WallTime(event.time_nano.map_or_else(seconds, |nanos| nanos / 1_000_000))
}

/// An exit code as engines give it. One that is missing or absurd is a failure.
pub(crate) fn code(code: Option<i64>) -> i32 {
    code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1)
}

/// The exit code in a list's status text: `Exited (3) 2 hours ago`.
pub(crate) fn code_of_text(text: &str) -> Option<i64> {
    text.strip_prefix("Exited (")?.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_never_ran_has_not_ended() {
        let never = ContainerState {
            running: Some(false),
            exit_code: Some(127),
            started_at: Some("0001-01-01T00:00:00Z".to_owned()),
            ..ContainerState::default()
        };
        assert_eq!((exit(&never), died(&never)), (None, None));
        assert_eq!(exit(&ContainerState::default()), None);
    }

    #[test]
    fn an_end_has_its_code_and_moment() {
        let state = ContainerState {
            running: Some(false),
            exit_code: Some(-3),
            oom_killed: Some(true),
            started_at: Some("1970-01-01T00:00:01Z".to_owned()),
            finished_at: Some("1970-01-01T00:00:02Z".to_owned()),
            ..ContainerState::default()
        };
        assert_eq!(exit(&state), Some(Exit { code: -3, out_of_memory: true }));
        assert_eq!(died(&state), Some(Died { code: -3, at: WallTime(2_000) }));
        assert_eq!((code(None), code(Some(1 << 40)), code(Some(137))), (-1, -1, 137));
    }

    #[test]
    fn an_exit_code_is_read_from_a_text() {
        let texts =
            ["Exited (3) 2 hours ago", "Exited (-1) now", "Exited (", "Dead", "Up 3 seconds (healthy)"];
        assert_eq!(texts.map(code_of_text), [Some(3), Some(-1), None, None, None]);
    }

    #[test]
    fn health_is_read_from_texts() {
        let texts = [
            "Up 3 seconds",
            "Up 3 seconds (healthy)",
            "Up 3 minutes (unhealthy)",
            "Up 1 second (health: starting)",
            "health_status: healthy",
            "health_status: unhealthy",
            "health_status: starting",
            "Exited (0) 2 hours ago",
        ];
        use Health::{Healthy, None, Starting, Unhealthy};
        assert_eq!(
            texts.map(health_of_text),
            [None, Healthy, Unhealthy, Starting, Healthy, Unhealthy, Starting, None]
        );
    }
}
