//! What is an image reference: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by the grammar of the OCI distribution's
//! `reference` package.
//!
//! # Not here
//! Whether the image exists: an engine says that, on the node that is to run it.

use alloc::format;
use alloc::string::String;

use super::shown;

/// The longest name, tag and digest aside, in bytes.
const MAX_NAME: usize = 255;

/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

/// The name of an image without what may be left out of it: whoever compares names, compares these.
pub(crate) fn canonical(image: &str) -> &str {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    image.strip_suffix(":latest").unwrap_or(image)
}

/// What is wrong with it; nothing if it is one.
pub(super) fn problem(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::from("is empty"));
    }
    if !text.bytes().all(|c| c.is_ascii_graphic()) {
        return Some(format!("is `{}`: no image has blanks or such characters in its name", shown(text)));
    }
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let tag_at = rest.rfind(':').filter(|at| !rest[*at..].contains('/'));
    let (name, tag) = tag_at.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
    of_name(name)
        .or_else(|| tag.and_then(of_tag))
        .or_else(|| digest.and_then(of_digest))
        .map(|wrong| format!("is `{}`: {wrong}", shown(text)))
}

fn of_name(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME {
        return Some("its name is longer than 255 bytes");
    }
    let (host, path) = match name.split_once('/') {
        Some((first, rest)) if is_meant_as_host(first) => (Some(first), rest),
        Some(_) | None => (None, name),
    };
    if host.is_some_and(|host| !is_host(host)) {
        return Some("what stands before the first `/` is no registry: HOST or HOST:PORT");
    }
    if path.split('/').any(str::is_empty) {
        return Some("a part of its name is empty");
    }
    if path.bytes().any(|c| c.is_ascii_uppercase()) {
        return Some("its name has upper-case letters");
    }
    if !path.split('/').all(is_part) {
        return Some("the parts of its name have a-z, 0-9 and, between those, `.`, `_`, `__` or `-` only");
    }
    None
}

/// What distinguishes a registry's host from the first part of a name.
fn is_meant_as_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|c| c.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = match is_six {
        Some(six) => six.parse::<core::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    named && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Runs of lower-case letters and digits, with one separator between two of them.
fn is_part(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = part.split(word).filter(|separator| !separator.is_empty());
    part.starts_with(word)
        && part.ends_with(word)
        && separators
            .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|c| c == b'-'))
}

fn of_tag(tag: &str) -> Option<&'static str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if tag.is_empty() {
        return Some("its tag is empty");
    }
    let good = tag.len() <= MAX_TAG && tag.starts_with(word);
    (!good || !tag.chars().all(|c| word(c) || c == '.' || c == '-')).then_some(
        "its tag may have 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
    )
}

fn of_digest(digest: &str) -> Option<&'static str> {
    let good = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let is_hex = hex.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'a'..=b'f'));
        let length = match algorithm {
            "sha256" => hex.len() == 64,
            "sha512" => hex.len() == 128,
            other => hex.len() >= 32 && other.starts_with(|c: char| c.is_ascii_alphabetic()),
        };
        is_hex && length
    });
    (!good).then_some("its digest is none: `sha256:` and 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_what_no_registry_has() {
        let digest = "0123456789abcdef".repeat(4);
        for good in [
            "nginx",
            "nginx:1.27-alpine",
            "library/nginx",
            "localhost/a",
            "localhost:5000/a/b__c--d.e:V_1",
            "ghcr.io/a/b",
            "[::1]:5000/a",
            "Registry/a",
            &format!("nginx@sha256:{digest}"),
            &format!("ghcr.io:443/a:1@sha256:{digest}"),
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "",
            "Nginx",
            "a/Nginx",
            "ghcr.io/A",
            "nginx:",
            "nginx:-1",
            "nginx:1:2",
            "nginx@",
            "nginx@sha256:0",
            "nginx@1.27",
            "a//b",
            "/a",
            "a/",
            "a b",
            "a\n",
            "ünginx",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:1/b:x y",
            "http://a/b",
            "a.b:0/c",
            "a_b.c/d",
            &format!("nginx@sha256:{}", digest.to_ascii_uppercase()),
            &"x".repeat(256),
            &format!("a:{}", "x".repeat(129)),
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
