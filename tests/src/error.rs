//! What goes wrong when a test sets its scene: always said to a person, never matched by code.

use std::fmt;
use std::io;
use std::path::Path;

/// A sentence that says what failed, and what it failed on.
pub struct Error(String);

/// What setting a scene yields.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// From the sentence.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// For `map_err` of what was done with a file.
    pub fn on(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A test that returns it shows it so.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
