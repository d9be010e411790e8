//! Signals by name and number.

const RT_MIN: u32 = 34;
const RT_MAX: u32 = 64;

/// Linux's names, in order, from 1; the same on every architecture that this runs on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The number of a signal as engines take it: `SIGTERM`, `term`, `15`, `RTMIN+3`.
pub(crate) fn number(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return (1..=RT_MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let within = |number: Option<u32>| number.filter(|number| (RT_MIN..=RT_MAX).contains(number));
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<u32>().ok(),
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return within(RT_MIN.checked_add(offset(rest, '+')?));
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return within(RT_MAX.checked_sub(offset(rest, '-')?));
    }
    NAMES.iter().position(|known| *known == name).and_then(|at| u32::try_from(at + 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_that_engines_take() {
        let numbers = ["SIGTERM", "term", "15", "QUIT", "SIGRTMIN+3", "RTMAX-1", "RTMIN", "KILL"].map(number);
        assert_eq!(numbers, [15, 15, 15, 3, 37, 63, 34, 9].map(Some));
        assert_eq!(["", "0", "65", "SIGNOPE", "RTMIN+31", "RTMINx", "RTMIN-1"].map(number), [None; 7]);
    }
}
