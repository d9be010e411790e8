//! The only place that prints. Standard output is data, standard error everything else.

pub mod error;
pub mod field;
pub mod item;
pub mod json;
pub mod node;
pub mod operator;
pub mod plan;
pub mod progress;
pub mod service;
pub mod table;
pub mod task;
pub mod time;
pub mod token;
pub mod words;

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::error::ErrorKind as Kind;
use serde::Serialize;

use crate::args::{Color, Format, Global};
use crate::error::Error;

pub use item::Item;
pub use table::pairs;
pub use time::Moment;

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const BOLD: Style = Style::new().bold();

/// How this run prints.
pub struct Output {
    /// In what form.
    pub format: Format,
    /// Whether ids or names alone are wanted.
    pub quiet: bool,
    look: Look,
}

/// What the shape of a table depends on.
#[derive(Clone, Copy)]
pub struct Look {
    /// How many columns there are, on a terminal.
    width: Option<u16>,
    /// Whether ids are shortened.
    short_ids: bool,
    /// More columns.
    wide: bool,
    /// When it is.
    now: Moment,
}

impl Output {
    /// As the flags say, on what standard output is.
    pub fn new(global: &Global) -> Self {
        match global.color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        let width = terminal_width();
        let look = Look {
            width,
            short_ids: width.is_some() && !global.no_trunc,
            wide: global.output == Format::Wide,
            now: Moment::now(),
        };
        Self { format: global.output, quiet: global.quiet, look }
    }

    /// One line, or several, of data.
    ///
    /// # Errors
    /// [`Error::Unread`] if nobody reads it, [`Error::Internal`] if it cannot be written.
    pub fn line(&self, text: &str) -> Result<(), Error> {
        written(writeln!(anstream::stdout().lock(), "{text}"))
    }

    /// Data as it is.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }

    /// A line of a program's output, to where it wrote it.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn program_line(&self, text: &str, stderr: bool) -> Result<(), Error> {
        if stderr {
            return written(writeln!(io::stderr().lock(), "{}", tame(text, io::stderr().is_terminal())));
        }
        written(writeln!(io::stdout().lock(), "{}", tame(text, io::stdout().is_terminal())))
    }

    /// One JSON value.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let text =
            serde_json::to_string_pretty(value).map_err(|error| Error::internal("an answer", &error))?;
        self.line(&text)
    }

    /// A list, in the form that was asked for.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn list<T: Item>(&self, items: &[T]) -> Result<(), Error> {
        match self.format {
            Format::Json => self.json(&items.iter().map(Item::json).collect::<Vec<_>>()),
            Format::Name => self.each(items.iter().map(Item::name)),
            Format::Table | Format::Wide if self.quiet => {
                // A task that nobody runs yet has no id.
                self.each(items.iter().map(Item::id).filter(|id| !id.is_empty()))
            }
            Format::Table | Format::Wide => self.line(&table::list(items, &self.look)),
        }
    }

    /// What became of one thing: as JSON, by its name or its id, or in words.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn done(&self, value: &impl Serialize, name: &str, id: &str, words: &str) -> Result<(), Error> {
        match self.format {
            Format::Json => self.json(value),
            Format::Name => self.line(name),
            Format::Table | Format::Wide if self.quiet => self.line(id),
            Format::Table | Format::Wide => self.line(words),
        }
    }

    /// What became of each of several things: as JSON one value, an array where several were named.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn each_done(
        &self,
        done: &[json::Named],
        several: bool,
        words: impl Fn(&json::Named) -> String,
    ) -> Result<(), Error> {
        if several && self.format == Format::Json && !done.is_empty() {
            return self.json(&done);
        }
        done.iter().try_for_each(|named| self.done(named, &named.name, &named.id, &words(named)))
    }

    fn each<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        texts.try_for_each(|text| self.line(text))
    }

    /// A line for people, beside the data.
    pub fn note(&self, text: &str) {
        aside(text);
    }

    /// A line for people who should look.
    pub fn warning(&self, text: &str) {
        aside(&format!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// What to type next.
    pub fn hint(&self, command: &str) {
        aside(&format!("{BOLD}hint:{BOLD:#} {command}"));
    }

    /// What went wrong, and what to type next.
    pub fn error(&self, error: &Error, changes: bool) {
        let words = typed();
        let text = error::render(error, changes, &words);
        if !text.is_empty() {
            aside(&text);
        }
    }

    /// Asks a person whether to go on.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] if there is nobody to ask, or they say no.
    pub fn confirm(&self, danger: &str) -> Result<(), Error> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Error::Unconfirmed(danger.to_owned()));
        }
        let mut stderr = anstream::stderr().lock();
        let asked = write!(stderr, "{danger}\nGo on? [y/N] ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
        match read {
            Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") => Ok(()),
            Ok(_) | Err(_) => Err(Error::Unconfirmed(String::new())),
        }
    }

    /// Whether answers are tables: whoever asked for anything else wants that and nothing beside it.
    pub fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide) && !self.quiet
    }

    /// Whether people watch standard error.
    pub fn is_watched(&self) -> bool {
        io::stderr().is_terminal()
    }
}

/// Says what clap says: help and versions are data, all else is not.
pub fn usage(error: &clap::Error) -> u8 {
    match error.kind() {
        Kind::DisplayHelp | Kind::DisplayVersion | Kind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed pipe is nothing to complain about, and there is nowhere else to complain.
            drop(error.print());
        }
        _ => {
            aside(&error::usage(error, &typed()));
        }
    }
    u8::from(error.use_stderr()) * 2
}

/// Says why there is nothing to run on.
pub fn no_runtime(error: &io::Error) -> u8 {
    aside(&format!("error: this program cannot run here: {error}"));
    1
}

/// What was typed after the program's name.
fn typed() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

fn aside(text: &str) {
    // Standard error is the last resort: if it is closed there is nobody to tell.
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

fn written(result: io::Result<()>) -> Result<(), Error> {
    result.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Error::Unread,
        _ => Error::internal("standard output", &error),
    })
}

fn terminal_width() -> Option<u16> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout)
        .ok()
        .map(|size| size.ws_col)
        .filter(|width| *width > 0)
        .or(Some(80))
}

/// What a program wrote may steer a terminal: there, only colours and tabs are let through.
fn tame(text: &str, terminal: bool) -> String {
    if !terminal {
        return text.to_owned();
    }
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        tamed.push_str(&rest[..at]);
        rest = &rest[at..];
        let colour = rest.strip_prefix("\x1b[").and_then(|code| {
            let end = code.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            code[end..].starts_with('m').then_some(end + 3)
        });
        match colour {
            Some(length) => {
                tamed.push_str(&rest[..length]);
                rest = &rest[length..];
            }
            None => rest = rest.trim_start_matches(char::is_control),
        }
    }
    tamed + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_cannot_steer_the_terminal() {
        assert_eq!(tame("a\x1b[31mred\x1b[0m\tb", true), "a\x1b[31mred\x1b[0m\tb");
        assert_eq!(tame("a\x1b[2Jb\x1b]0;title\x07c\rd", true), "a[2Jb]0;titlecd");
        assert_eq!(tame("a\x1b[2Jb", false), "a\x1b[2Jb");
    }
}
