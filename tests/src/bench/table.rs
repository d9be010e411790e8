//! What was measured, for people: medians, in units that can be read, as a table in Markdown.

use std::fmt;
use std::time::Duration;

/// Rows under one heading each.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// One with these headings.
    pub fn new(headings: &[&str]) -> Self {
        let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
        let rule = headings.iter().map(|_| "---".to_owned()).collect();
        Self { rows: vec![headings, rule] }
    }

    /// Adds a row; what is missing stays empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.rows[0].len(), String::new());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// How long something took, each time that it was done.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
        self.0.sort();
    }

    /// The middle one, or the mean of the two in the middle; `None` if it was never done.
    pub fn median(&self) -> Option<Duration> {
        let (lower, upper) = (self.0.len().checked_sub(1)? / 2, self.0.len() / 2);
        Some((self.0[lower] + self.0[upper]) / 2)
    }

    /// This median over the other, or a dash if either is missing.
    pub fn over(&self, other: &Self) -> String {
        match (self.median(), other.median()) {
            (Some(own), Some(theirs)) => format!("{:.2}", own.as_secs_f64() / theirs.as_secs_f64()),
            _ => "–".to_owned(),
        }
    }
}

/// The median, and in brackets the least and the most if it was done more than once.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.median(), self.0.as_slice()) {
            (None, _) | (_, []) => f.write_str("–"),
            (Some(median), [_]) => write!(f, "{:.2} s", median.as_secs_f64()),
            (Some(median), [least, .., most]) => write!(
                f,
                "{:.2} s ({:.2}–{:.2})",
                median.as_secs_f64(),
                least.as_secs_f64(),
                most.as_secs_f64()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: &[u64]) -> Times {
        let mut times = Times::default();
        millis.iter().for_each(|millis| times.add(Duration::from_millis(*millis)));
        times
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_came_first() {
        assert_eq!(times(&[]).median(), None);
        assert_eq!(times(&[300, 100, 900]).median(), Some(Duration::from_millis(300)));
        assert_eq!(times(&[400, 100, 200, 900]).median(), Some(Duration::from_millis(300)));
    }

    #[test]
    fn a_table_tells_medians_spreads_and_ratios() {
        let (own, theirs) = (times(&[500, 400, 700]), times(&[2_000]));
        let mut table = Table::new(&["work", "theirs", "own", "ratio"]);
        table.row(["one", &theirs.to_string(), &own.to_string(), &own.over(&theirs)]);
        table.row(["two", &Times::default().to_string(), "", &Times::default().over(&own)]);
        let told = "| work | theirs | own | ratio |\n| --- | --- | --- | --- |\n\
            | one | 2.00 s | 0.50 s (0.40–0.70) | 0.25 |\n| two | – |  | – |\n";
        assert_eq!(table.to_string(), told);
    }
}
