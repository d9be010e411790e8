//! Times and names as people read them.
//!
//! # Not here
//! Times as people write them: `span`.

use crate::world::{SECOND, Time};

/// A moment of a run: `1:02.3`, `4:00:00`, `2d 04:00:00`.
pub(super) fn moment(at: Time) -> String {
    let (tenths, seconds) = (at / (SECOND / 10) % 10, at / SECOND);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let (s, m, h) = (seconds % 60, minutes % 60, hours % 24);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{s:02}.{tenths}"),
        (0, _) => format!("{hours}:{m:02}:{s:02}"),
        _ => format!("{days}d {h:02}:{m:02}:{s:02}"),
    }
}

/// How long something took: `230 ms`, `4.1 s`, `1 min 30 s`, `9 h`.
pub(super) fn length(time: Time) -> String {
    let seconds = time.div_ceil(SECOND / 10) / 10;
    let parts = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large} {one}"),
        _ => format!("{large} {one} {small} {other}"),
    };
    match seconds {
        0 if time < SECOND => format!("{} ms", time.div_ceil(1_000)),
        0..60 => format!("{:.1} s", time as f64 / SECOND as f64),
        60..3_600 => parts(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => parts(seconds / 3_600, "h", seconds / 60 % 60, "min"),
        _ => parts(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// `a`, `a and b`, `a, b and c`; of more than four the first three, and how many others.
pub(super) fn list(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => (*one).to_owned(),
        [some @ .., last] if names.len() <= 4 => format!("{} and {last}", some.join(", ")),
        [one, two, three, rest @ ..] => format!("{one}, {two}, {three} and {} others", rest.len()),
        [_, _] => unreachable!("two are fewer than four"),
    }
}

/// `1 task`, `2 tasks`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Text as HTML shows it.
pub(super) fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_need_be() {
        let moments = [0, 62_340_000, 14_400_000_000, 187_200_000_000].map(moment);
        assert_eq!(moments, ["0:00.0", "1:02.3", "4:00:00", "2d 04:00:00"]);
        let lengths = [500, 230_000, 4_100_000, 90_000_000, 32_400_000_000, 604_800_000_000].map(length);
        assert_eq!(lengths, ["1 ms", "230 ms", "4.1 s", "1 min 30 s", "9 h", "7 d"]);
    }

    #[test]
    fn names_are_listed() {
        let names = ["a", "b", "c", "d", "e"];
        let lists = [0, 1, 2, 4, 5].map(|many| list(&names[..many]));
        assert_eq!(lists, ["nobody", "a", "a and b", "a, b, c and d", "a, b, c and 2 others"]);
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(html("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
