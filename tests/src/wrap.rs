//! Comments that are too wide, broken as their author would break them: what rustfmt does not do.
//!
//! What does not fit goes to the head of the next line, if that goes on with the same sentence, and to a line
//! of its own otherwise. Code, and what stands between fences, is left alone.

/// The text, with every wide comment broken at `width` characters.
pub fn comments(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fenced = false;
    let mut carried: Option<Comment<'_>> = None;
    for line in text.lines() {
        let comment = Comment::parse(line);
        fenced ^= comment.as_ref().is_some_and(|comment| comment.text.starts_with("```"));
        let comment = match (carried.take(), comment) {
            (Some(before), Some(next)) if !fenced && before.goes_on_with(&next) => {
                Comment { text: format!("{} {}", before.text, next.text), ..before }
            }
            (before, Some(next)) => {
                before.into_iter().for_each(|before| before.write_all(width, &mut out));
                next
            }
            (before, None) => {
                before.into_iter().for_each(|before| before.write_all(width, &mut out));
                out += line;
                out.push('\n');
                continue;
            }
        };
        if fenced {
            out += line;
            out.push('\n');
        } else {
            carried = comment.write_line(width, &mut out);
        }
    }
    carried.into_iter().for_each(|rest| rest.write_all(width, &mut out));
    out
}

/// A line that is nothing but a comment.
struct Comment<'a> {
    /// Spaces, and the slashes.
    head: &'a str,
    /// How far the text is set in after them.
    inset: usize,
    text: String,
}

impl<'a> Comment<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let at = line.len() - line.trim_start().len();
        let marker = ["///", "//!", "//"].into_iter().find(|marker| line[at..].starts_with(marker))?;
        let (head, rest) = line.split_at(at + marker.len());
        let text = rest.trim_start();
        Some(Self { head, inset: rest.len() - text.len(), text: text.to_owned() })
    }

    /// Whether `next` was the next line of the same sentence.
    fn goes_on_with(&self, next: &Self) -> bool {
        let begins = next.text.chars().next();
        self.head == next.head
            && self.inset == next.inset
            && begins.is_some_and(|c| c.is_alphanumeric() || matches!(c, '`' | '[' | '(' | '"'))
    }

    /// Writes as much as fits on one line, and gives the rest.
    fn write_line(mut self, width: usize, out: &mut String) -> Option<Self> {
        let room = width.saturating_sub(self.head.chars().count() + self.inset);
        let end = self.text.char_indices().nth(room).map(|(end, _)| end);
        // A line without a space that fits, such as an address, stays whole.
        let cut = end.and_then(|end| self.text[..=end.min(self.text.len() - 1)].rfind(' '));
        let rest = cut.map(|cut| self.text.split_off(cut).trim_start().to_owned());
        let line = format!("{}{:inset$}{}", self.head, "", self.text, inset = self.inset);
        *out += line.trim_end();
        out.push('\n');
        // Below `- ` the text of a list goes on two further in.
        let inset = self.inset + if self.text.starts_with("- ") { 2 } else { 0 };
        rest.map(|text| Self { head: self.head, inset, text })
    }

    fn write_all(self, width: usize, out: &mut String) {
        let mut rest = Some(self);
        while let Some(comment) = rest {
            rest = comment.write_line(width, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_goes_to_the_next_line_of_the_sentence() {
        let wide = "/// one two three four\n/// five.\nfn a() {}\n";
        assert_eq!(comments(wide, 18), "/// one two three\n/// four five.\nfn a() {}\n");
        let last = "    // one two three four\n    code();\n";
        assert_eq!(comments(last, 20), "    // one two three\n    // four\n    code();\n");
    }

    #[test]
    fn lists_fences_and_code_stay_what_they_are() {
        let list = "//! - one two three\n//!   four\n//! - five\n";
        assert_eq!(comments(list, 14), "//! - one two\n//!   three\n//!   four\n//! - five\n");
        let fence = "/// ```text\n/// one two three four\n/// ```\n";
        assert_eq!(comments(fence, 12), fence);
        for same in
            ["let a = \"// one two three four\";\n", "// http://one.two.three.four/five\n", "//\n// a\n"]
        {
            assert_eq!(comments(same, 18), same);
        }
    }

    #[test]
    fn what_fits_is_not_touched() {
        let fits = "//! one\n//! two\n\n/// three\n///\n/// four\nfn a() {} // five\n";
        assert_eq!(comments(fits, 9), fits);
    }
}
