//! Several changes, one after the other.
//!
//! Nothing is printed before the last of them: whoever reads no more must not end what they began.

use std::collections::BTreeSet;

use sleep_wire::api::{Changed, Code, Problem};

use super::Context;
use crate::error::Error;
use crate::output::{Item, json::Named};

/// The shortest beginning of an id that is taken for one.
const MIN_PREFIX: usize = 4;

/// The most names that an error proposes.
const MAX_CANDIDATES: usize = 3;

/// What was done, and what kept the rest from being done.
pub(super) struct Outcome {
    /// Those that were changed.
    pub(super) done: Vec<Named>,
    /// Whether anything is different now.
    pub(super) changed: bool,
    /// Why the next was not; then none after it was tried.
    pub(super) failed: Option<Error>,
}

/// Changes one after the other, until one fails.
pub(super) async fn change(
    context: &Context<'_>,
    things: impl IntoIterator<Item = Named>,
    change: impl AsyncFn(&Named) -> Result<Changed, Error>,
) -> Outcome {
    let mut outcome = Outcome { done: Vec::new(), changed: false, failed: None };
    for named in things {
        match change(&named).await {
            Ok(changed) => {
                context.durable(changed.durability);
                outcome.changed |= changed.changed;
                outcome.done.push(named);
            }
            Err(error) => {
                outcome.failed = Some(error.after(outcome.changed));
                break;
            }
        }
    }
    outcome
}

impl Outcome {
    /// Tells what was done: of several that were typed as one list, and in these words.
    pub(super) fn tell(
        self,
        context: &Context<'_>,
        several: bool,
        words: impl Fn(&Named) -> String,
    ) -> Result<(), Error> {
        let told = context.output.each_done(&self.done, several, words);
        // What went wrong is more than that nobody reads what went well.
        self.failed.map_or(told, Err)
    }
}

/// Of what was typed twice, the first.
pub(super) fn once(things: Vec<Named>) -> Vec<Named> {
    let mut seen = BTreeSet::new();
    things.into_iter().filter(|named| seen.insert(named.id.clone())).collect()
}

/// Which of these somebody means, as an agent takes it: by its name, its id, or the beginning of that.
///
/// # Errors
/// [`Error::Refused`] if it is none of them, or may be several.
pub(super) fn meant<T: Item>(items: &[T], typed: &str, missing: Code, kind: &str) -> Result<Named, Error> {
    let refused = |problem: Problem| Error::Refused(Box::new(problem));
    let named = |item: &&T| Named { id: item.id().to_owned(), name: item.name().to_owned() };
    let exact: Vec<&T> = items.iter().filter(|item| item.id() == typed || item.name() == typed).collect();
    let begins = |item: &&T| typed.len() >= MIN_PREFIX && item.id().starts_with(typed);
    let found = if exact.is_empty() { items.iter().filter(begins).collect() } else { exact.clone() };
    match found.as_slice() {
        [one] => Ok(named(one)),
        [] => {
            let shown: String = typed.chars().take(64).collect::<String>().escape_debug().to_string();
            let problem = Problem::new(missing, 404, format!("no {kind} `{shown}`"));
            Err(refused(problem.candidates(nearest(typed, items.iter().map(Item::name)))))
        }
        several => {
            let title = match exact.is_empty() {
                true => format!("several {kind}s have an id that begins with `{typed}`"),
                false => format!("several {kind}s are called `{typed}`"),
            };
            let ids = several.iter().map(|item| item.id().to_owned()).collect();
            Err(refused(Problem::new(Code::Ambiguous, 409, title).candidates(ids)))
        }
    }
}

/// The names that somebody may have meant, nearest first: what differs in a digit is another thing.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    let mut near: Vec<(usize, &str)> = names
        .filter(|name| name.len() > 2 && digits(name) == digits(typed))
        .map(|name| (strsim::osa_distance(typed, name), name))
        .filter(|(distance, name)| *distance <= 1.max(name.len() / 3))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MAX_CANDIDATES).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use sleep_wire::api::OperatorView;

    use super::*;

    #[test]
    fn who_is_meant_is_one_or_an_error() {
        let view = |id: &str, name: &str| OperatorView {
            id: id.to_owned(),
            name: name.to_owned(),
            created_at: String::new(),
            creator: String::new(),
        };
        let all =
            [view("o1aaaa", "ada"), view("o2bbbb", "eve"), view("o2bbcc", "eve"), view("o3dddd", "o1aaaa")];
        let meant = |typed| match meant(&all, typed, Code::NoSuchOperator, "operator") {
            Ok(named) => named.id,
            Err(Error::Refused(problem)) => format!("{}: {}", problem.title, problem.candidates.join(" ")),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!([meant("ada"), meant("o3ddd"), meant("o2bbcc")], ["o1aaaa", "o3dddd", "o2bbcc"]);
        assert_eq!(meant("o1aaaa"), "several operators are called `o1aaaa`: o1aaaa o3dddd");
        assert_eq!(meant("eve"), "several operators are called `eve`: o2bbbb o2bbcc");
        assert_eq!(meant("o2bb"), "several operators have an id that begins with `o2bb`: o2bbbb o2bbcc");
        assert_eq!(meant("adda"), "no operator `adda`: ada");
        assert_eq!(meant("o2b"), "no operator `o2b`: ");
    }
}
