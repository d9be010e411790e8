//! What others wrote, made fit to be shown: engines' messages and tasks' output, bounded and without control
//! characters.

/// The most bytes of one line that are kept.
pub(crate) const LINE: usize = 256;
/// The most lines of a failed task's output that are kept.
pub(crate) const LINES: usize = 5;
/// The most bytes of an engine's message that are kept.
pub(crate) const MESSAGE: usize = 512;

/// `bytes` as text of at most `limit` bytes: what a terminal might obey is escaped.
pub(crate) fn clean(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    // No character becomes shorter than one byte, so more input than this cannot show.
    for c in String::from_utf8_lossy(&bytes[..bytes.len().min(4 * limit)]).trim_end().chars() {
        let before = text.len();
        match c {
            '\t' => text.push(' '),
            c if c.is_control() || is_invisible(c) => text.extend(c.escape_unicode()),
            c => text.push(c),
        }
        if text.len() > limit - '…'.len_utf8() {
            text.truncate(before);
            text.push('…');
            break;
        }
    }
    text
}

/// Characters that move, hide or turn around what stands beside them.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The last lines of `output`, each cleaned.
pub(crate) fn last_lines(output: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = output
        .split(|byte| *byte == b'\n')
        .rev()
        .map(|line| clean(line, LINE))
        .filter(|line| !line.is_empty())
        .take(LINES)
        .collect();
    lines.reverse();
    lines
}

/// The moment that an RFC 3339 text names; `None` for what engines write when there is none: the year 1.
pub(crate) fn wall_time(text: &str) -> Option<sleep_wire::WallTime> {
    let at: jiff::Timestamp = text.parse().ok()?;
    (at.as_second() > 0).then(|| sleep_wire::WallTime(at.as_millisecond()))
}

/// This host's wall clock, for display.
pub(crate) fn now() -> sleep_wire::WallTime {
    sleep_wire::WallTime(jiff::Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_might_obey_is_escaped() {
        assert_eq!(clean(b"\x1b[31mred\x07\r\n", 64), "\\u{1b}[31mred\\u{7}");
        assert_eq!(clean("a\u{202e}b\tc".as_bytes(), 64), "a\\u{202e}b c");
        assert_eq!(clean(b"\xff\xfe", 64), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn text_is_cut_at_a_character_within_its_limit() {
        assert_eq!(clean(b"0123456789", 8), "01234…");
        assert_eq!(clean("ääää".as_bytes(), 8), "ää…");
        assert!(clean(&[7; 10_000], 100).len() <= 100);
    }

    #[test]
    fn only_the_last_lines_that_say_something_are_kept() {
        assert_eq!(last_lines(b"1\n2\n3\n\n4\n5\n6\n"), ["2", "3", "4", "5", "6"]);
        assert_eq!(last_lines(b""), Vec::<String>::new());
    }

    #[test]
    fn the_year_one_is_no_time() {
        assert_eq!(wall_time("0001-01-01T00:00:00Z"), None);
        assert_eq!(wall_time("1970-01-01T00:00:01.5Z"), Some(sleep_wire::WallTime(1_500)));
        assert_eq!(wall_time("1970-01-01T02:00:01+02:00"), Some(sleep_wire::WallTime(1_000)));
        assert_eq!(wall_time("yesterday"), None);
    }
}
