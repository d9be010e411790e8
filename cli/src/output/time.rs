//! Times for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment to measure ages from.
#[derive(Clone, Copy)]
pub struct Moment(Timestamp);

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// How long ago something was, in its largest unit: `3m`. Nothing for what has no time; `0s` for what
    /// another clock puts into the future.
    pub fn age(self, since: Option<&str>) -> String {
        let Some(since) = since.and_then(|text| text.parse::<Timestamp>().ok()) else {
            return String::new();
        };
        let seconds = self.0.duration_since(since).as_secs().max(0);
        coarse(seconds.unsigned_abs())
    }

    /// How long it is until something: `in 4 s`; nothing for what has no time, or is due.
    pub fn until(self, at: Option<&str>) -> String {
        let Some(at) = at.and_then(|text| text.parse::<Timestamp>().ok()) else { return String::new() };
        match at.duration_since(self.0).as_millis() {
            ..1 => String::new(),
            ms => format!("in {} s", ms.unsigned_abs().div_ceil(1000)),
        }
    }
}

/// A length of time, in its largest unit.
pub fn coarse(seconds: u64) -> String {
    const UNITS: [(u64, &str); 5] = [(60, "s"), (60, "m"), (24, "h"), (365, "d"), (u64::MAX, "y")];
    let mut left = seconds;
    for (next, unit) in UNITS {
        if left < next {
            return format!("{left}{unit}");
        }
        left /= next;
    }
    format!("{left}y")
}

/// A length of time, as exact as matters.
pub fn exact(time: std::time::Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{} s", time.as_secs()),
        seconds => format!("{} min", seconds / 60),
    }
}

/// When something happened, by the clock on the wall of whoever asks, for a story: with the day, if that was
/// another.
pub fn of_day(at: &str) -> String {
    let zone = TimeZone::system();
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| told(at, Timestamp::now(), &zone))
}

fn told(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned_datetime(zone.clone()), now.to_zoned_datetime(zone.clone()));
    let format = match (at.date() == now.date(), at.year() == now.year()) {
        (true, _) => "%H:%M:%S",
        (false, true) => "%b %d %H:%M:%S",
        (false, false) => "%Y-%m-%d %H:%M:%S",
    };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now = Moment("2026-01-02T12:00:00Z".parse().expect("a time"));
        let age = |since| now.age(Some(since));
        assert_eq!(age("2026-01-02T11:59:48.5Z"), "11s");
        assert_eq!(age("2026-01-02T11:57:00Z"), "3m");
        assert_eq!(age("2026-01-01T11:57:00Z"), "1d");
        assert_eq!(age("2020-01-01T00:00:00Z"), "6y");
        assert_eq!(age("2026-01-02T12:10:00Z"), "0s");
        assert_eq!(age("yesterday"), "");
        assert_eq!(now.age(None), "");
    }

    #[test]
    fn a_story_is_told_by_the_clock_on_the_wall() {
        let moment = |text: &str| text.parse::<Timestamp>().expect("a time");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = moment("2026-01-02T12:00:00Z");
        let told = |at: &str| told(moment(at), now, &zone);
        assert_eq!(told("2026-01-02T11:59:48.5Z"), "13:59:48");
        assert_eq!(told("2026-01-01T22:30:00Z"), "00:30:00", "it is the second there already");
        assert_eq!(told("2026-01-01T21:30:00Z"), "Jan 01 23:30:00");
        assert_eq!(told("2025-11-30T08:00:00Z"), "2025-11-30 10:00:00");
        assert_eq!(of_day("yesterday"), "yesterday");
    }

    #[test]
    fn what_comes_is_counted_down() {
        let now = Moment("2026-01-02T12:00:00Z".parse().expect("a time"));
        let until = |at| now.until(Some(at));
        assert_eq!(until("2026-01-02T12:00:03.2Z"), "in 4 s");
        assert_eq!(until("2026-01-02T12:00:00Z"), "");
        assert_eq!(until("2026-01-02T11:00:00Z"), "");
        assert_eq!(until("tomorrow"), "");
        assert_eq!(now.until(None), "");
    }
}
