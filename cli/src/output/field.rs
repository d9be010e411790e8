//! Fields of the API as people know them: by the flag that sets them.

use sleep_wire::api::{Code, Problem};

/// Fields, and what is typed to set them.
const FLAGS: &[(&str, &str)] = &[
    ("labels", "--label"),
    ("partition.reschedule_delay_ms", "--reschedule-delay"),
    ("placement.constraints", "--constraint"),
    ("template.command", "the command"),
    ("template.entrypoint", "--entrypoint"),
    ("template.env", "--env"),
    ("template.hostname", "--hostname"),
    ("template.image", "the image"),
    ("template.labels", "--container-label"),
    ("template.ports", "--publish"),
    ("template.resources", "--limit-memory"),
    ("template.resources.limit_memory", "--limit-memory"),
    ("template.resources.reserve_cpu_milli", "--reserve-cpu"),
    ("template.resources.reserve_memory", "--reserve-memory"),
    ("template.restart.delay_ms", "--restart-delay"),
    ("template.stop_grace_ms", "--stop-grace-period"),
    ("template.stop_signal", "--stop-signal"),
    ("template.user", "--user"),
    ("template.workdir", "--workdir"),
    ("update.delay_ms", "--update-delay"),
    ("update.monitor_ms", "--update-monitor"),
];

/// What a problem says, with the flag in place of the field that has a value that is not allowed.
pub(super) fn typed(problem: &Problem) -> String {
    let found = problem.title.strip_prefix('`').and_then(|rest| rest.split_once('`'));
    let Some((field, rest)) = found.filter(|_| problem.code == Code::Invalid) else {
        return problem.title.clone();
    };
    match FLAGS.iter().find(|(known, _)| *known == field) {
        Some((_, flag)) if flag.starts_with('-') => format!("`{flag}`{rest}"),
        Some((_, words)) => format!("{words}{rest}"),
        None => problem.title.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_told_by_its_flag() {
        let said = |code, title: &str| typed(&Problem::new(code, 422, title));
        assert_eq!(said(Code::Invalid, "`template.env` has `A`"), "`--env` has `A`");
        assert_eq!(said(Code::Invalid, "`template.image` is empty"), "the image is empty");
        assert_eq!(said(Code::Invalid, "`name` is empty"), "`name` is empty");
        assert_eq!(said(Code::NoSuchService, "no service `labels`"), "no service `labels`");
    }
}
