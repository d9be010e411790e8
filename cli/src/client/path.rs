//! Paths of the API, from what people type.

use std::fmt::Write;

/// `/v1/` and the parts, each a segment whatever is in it.
pub fn path(parts: &[&str]) -> String {
    parts.iter().fold("/v1".to_owned(), |mut path, part| {
        path.push('/');
        encode(part, &mut path);
        path
    })
}

/// A list as a query's value.
pub fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut value = String::new();
    for item in items {
        if !value.is_empty() {
            value.push(',');
        }
        encode(item, &mut value);
    }
    value
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            other => write!(into, "%{other:02X}").expect("a string takes what is written to it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_typed_leaves_its_segment() {
        assert_eq!(path(&["nodes", "pi-1", "tasks"]), "/v1/nodes/pi-1/tasks");
        assert_eq!(path(&["services", "../x?a=b#ü\n"]), "/v1/services/..%2Fx%3Fa%3Db%23%C3%BC%0A");
        assert_eq!(list(["a", "b,c"]), "a,b%2Cc");
    }
}
