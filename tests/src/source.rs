//! Rust source as text: what is code, what is a test, where a function ends.
//!
//! Right for code that rustfmt has been over, which the gate checks first. It knows comments, strings and
//! braces, and nothing of types: enough to measure and to search, without a parser to keep in step.
//!
//! # Not here
//! What is allowed: see `tests/tests/tidy.rs` and `tests/tests/architecture.rs`.

use std::iter::Peekable;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::Chars;

/// One source file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the root of the repository.
    pub path: PathBuf,
    /// As it stands in the file.
    pub text: String,
    /// The same lines, with comments and the insides of literals blanked out.
    pub code: String,
    /// Whether a `#[cfg(test)]` stands before its module's declaration, or before that of one it lies in.
    pub declared_test: bool,
}

/// A function with a body: its name and its lines, counted from 0, signature and closing brace included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Without its path.
    pub name: String,
    /// From the line of its `fn` to that of its closing brace.
    pub lines: Range<usize>,
}

impl Source {
    /// Reads what `text` says, as if it stood at `path`.
    pub fn new(path: impl AsRef<Path>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { path: path.as_ref().to_path_buf(), code: blank(&text), text, declared_test: false }
    }

    /// Whether the whole file is a test: it lies in a `tests` or `benches` folder, or is a module of tests.
    pub fn is_test(&self) -> bool {
        let folder = |name: &str| self.path.parent().is_some_and(|p| p.iter().any(|part| part == name));
        let library = self.path.starts_with("tests/src");
        let placed = !library && (folder("tests") || folder("benches"));
        placed || self.declared_test || self.path.ends_with("tests.rs")
    }

    /// The modules in files of their own that this one declares for tests only, as paths without `.rs`.
    pub fn test_modules(&self) -> Vec<PathBuf> {
        let stem = self.path.file_stem().unwrap_or_default();
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let own = ["mod", "lib", "main"].iter().any(|name| stem == *name);
        let folder = if own { folder.to_path_buf() } else { folder.join(stem) };
        let lines: Vec<&str> = self.code.lines().map(str::trim).collect();
        let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
        pairs
            .filter_map(|pair| {
                let module = pair[1].strip_suffix(';')?.rsplit_once("mod ")?.1;
                Some(folder.join(module))
            })
            .collect()
    }

    /// For each line, whether it belongs to a test.
    pub fn test_lines(&self) -> Vec<bool> {
        let lines: Vec<&str> = self.code.lines().collect();
        let mut tests = vec![self.is_test(); lines.len()];
        for (at, line) in lines.iter().enumerate() {
            if matches!(line.trim(), "#[cfg(test)]" | "#[test]" | "#[tokio::test]") {
                let end = self.item_end(at + 1);
                tests[at..end].fill(true);
            }
        }
        tests
    }

    /// Lines that hold code and belong to no test.
    pub fn lines_of_code(&self) -> usize {
        let code = self.code.lines().zip(self.test_lines());
        code.filter(|(line, test)| !test && !line.trim().is_empty()).count()
    }

    /// All lines.
    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// Every function with a body, in the order of the file; functions inside functions too.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (at, line) in self.code.lines().enumerate() {
            if let Some(name) = function_name(line) {
                let end = self.item_end(at);
                if self.code.lines().nth(end - 1).is_some_and(|last| last.trim_end().ends_with('}')) {
                    found.push(Function { name: name.to_owned(), lines: at..end });
                }
            }
        }
        found
    }

    /// The code that is no test, line for line.
    pub fn production(&self) -> String {
        let lines = self.code.lines().zip(self.test_lines());
        lines.map(|(line, test)| if test { "\n".to_owned() } else { format!("{line}\n") }).collect()
    }

    /// The line after the item that starts at or after line `from`: past its body, or past its semicolon.
    fn item_end(&self, from: usize) -> usize {
        let (mut braces, mut others) = (0_usize, 0_usize);
        for (at, line) in self.code.lines().enumerate().skip(from) {
            if braces == 0 && others == 0 && line.trim_start().starts_with('#') {
                continue;
            }
            for c in line.chars() {
                match c {
                    '(' | '[' => others += 1,
                    ')' | ']' => others = others.saturating_sub(1),
                    '{' => braces += 1,
                    '}' if braces <= 1 && others == 0 => return at + 1,
                    '}' => braces = braces.saturating_sub(1),
                    ';' if braces == 0 && others == 0 => return at + 1,
                    _ => {}
                }
            }
        }
        self.code.lines().count()
    }
}

/// The places, counted in lines from 1, where `code` holds `word` with no letter, digit or `_` beside it.
pub fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let joined =
        |edge: Option<char>, beside: Option<char>| edge.is_some_and(letter) && beside.is_some_and(letter);
    let hit = |line: &str| {
        line.match_indices(word).any(|(at, found)| {
            let before = line[..at].chars().next_back();
            let after = line[at + found.len()..].chars().next();
            !joined(word.chars().next(), before) && !joined(word.chars().next_back(), after)
        })
    };
    code.lines().enumerate().filter(|(_, line)| hit(line)).map(|(at, _)| at + 1).collect()
}

/// The name of the function whose signature starts on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        if let Some(signature) = rest.strip_prefix("fn ") {
            let end = signature.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            return Some(&signature[..end]).filter(|name| !name.is_empty());
        }
        let (word, tail) = rest.split_once(' ')?;
        let qualifier = matches!(word, "pub" | "const" | "async" | "unsafe" | "extern" | "default")
            || word.starts_with("pub(")
            || word.starts_with('"');
        // `pub(in a::b)` holds a space.
        rest = if word == "pub(in" { tail.split_once(' ')?.1 } else { tail };
        if !qualifier {
            return None;
        }
    }
}

/// Blanks out comments and the insides of literals, keeping every line where it is.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => while chars.next_if(|c| *c != '\n').is_some() {},
            '/' if chars.peek() == Some(&'*') => skip_block_comment(&mut chars, &mut out),
            '"' => skip_string(&mut chars, &mut out),
            'r' if !previous.is_alphanumeric() && previous != '_' || matches!(previous, 'b' | 'c') => {
                out.push(c);
                skip_raw_string(&mut chars, &mut out);
            }
            '\'' => skip_char(&mut chars, &mut out),
            c => out.push(c),
        }
        previous = c;
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn skip_block_comment(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut depth = 0_usize;
    let mut previous = '/';
    for c in chars.by_ref() {
        match (previous, c) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            (_, '\n') => out.push('\n'),
            _ => {}
        }
        if depth == 0 {
            return;
        }
        // `/*/` opens and does not close.
        previous = if matches!((previous, c), ('/', '*') | ('*', '/')) { ' ' } else { c };
    }
}

fn skip_string(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('"');
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().filter(|escaped| *escaped == '\n')),
            '\n' => out.push('\n'),
            '"' => break,
            _ => {}
        }
    }
    out.push('"');
}

/// What follows an `r`: a raw string, or just a name that starts with that letter.
fn skip_raw_string(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut hashes = 0;
    while chars.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    if chars.next_if_eq(&'"').is_none() {
        out.extend(std::iter::repeat_n('#', hashes));
        return;
    }
    out.push('"');
    let mut closing = None;
    for c in chars.by_ref() {
        closing = match (c, closing) {
            ('"', _) => Some(0),
            ('#', Some(n)) => Some(n + 1),
            _ => None,
        };
        if c == '\n' {
            out.push('\n');
        }
        if closing == Some(hashes) {
            break;
        }
    }
    out.push('"');
}

/// What follows a `'`: a character, or a lifetime.
fn skip_char(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('\'');
    let mut ahead = chars.clone();
    match (ahead.next(), ahead.next()) {
        (Some('\\'), Some(_)) => {
            // The escaped character may itself be a quote.
            chars.nth(1);
            while chars.next_if(|c| *c != '\'').is_some() {}
            chars.next();
            out.push('\'');
        }
        (Some(_), Some('\'')) => {
            chars.nth(1);
            out.push('\'');
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r###"//! Docs with "quotes" and fn words.
/* fn a() { */ /* nested /* " */ ' */
const TEXT: &str = "fn b() { \" // no";
const RAW: &[u8] = br#"fn c() { " "#;
const QUOTE: (char, char, char) = ('"', '\'', '{');

pub(crate) async fn long<'a>(
    text: &'a str,
    array: [u8; { 1 + 1 }],
) -> &'a str
where
    &'a str: Sized,
{
    fn inner() {}
    // {
    text
}

trait Says {
    fn without_body(&self);
}

#[cfg(test)]
mod tests {
    #[test]
    fn says() {
        let r#type = 1;
    }
}
"###;

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = Source::new("a.rs", SAMPLE);
        assert_eq!(source.code.lines().count(), SAMPLE.lines().count());
        let head: Vec<&str> = source.code.lines().take(5).collect();
        assert_eq!(
            head,
            [
                "",
                "",
                "const TEXT: &str = \"\";",
                "const RAW: &[u8] = br\"\";",
                "const QUOTE: (char, char, char) = ('', '', '');",
            ]
        );
    }

    #[test]
    fn a_function_runs_from_its_signature_to_its_brace() {
        let found = Source::new("a.rs", SAMPLE).functions();
        let function = |name: &str, lines| Function { name: name.to_owned(), lines };
        assert_eq!(found, [function("long", 6..17), function("inner", 13..14), function("says", 25..28)]);
    }

    #[test]
    fn tests_are_not_counted_as_code() {
        let source = Source::new("agent/src/a.rs", SAMPLE);
        // Three constants, a function of ten lines without its comment, and a trait of three.
        assert_eq!(source.lines_of_code(), 16);
        assert!(!source.production().contains("says"));
        assert_eq!(Source::new("agent/tests/a.rs", SAMPLE).lines_of_code(), 0);
        assert!(!Source::new("tests/src/a.rs", "").is_test());
    }

    #[test]
    fn a_word_is_found_whole() {
        assert_eq!(lines_with_word("std::mem\nmy_std::x\nstd\nno_std", "std"), [1, 3]);
        assert_eq!(lines_with_word("a.std::x\nstdx::y", "std::"), [1]);
    }
}
