//! What `/proc/PID/stat` says of a process.

/// When it started, in clock ticks since the host did. With its pid this names a process for as long as the host
/// runs: pids are used again, moments are not.
pub(crate) fn started(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may itself hold any character; what follows it begins at field 3.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let rest = "S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2";
        for name in ["sleep", "a) S 1 (b", "x y)"] {
            assert_eq!(started(&format!("42 ({name}) {rest}")), Some(987_654), "{name}");
        }
        assert_eq!(started("42 (sleep) S 1"), None);
    }
}
