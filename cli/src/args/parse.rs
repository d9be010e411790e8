//! Values of flags. Each error says what was expected.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use sleep_wire::spec::{Port, Protocol};

/// The ports that one `--publish` names.
pub type Ports = Vec<Port>;

type Range = RangeInclusive<u16>;

/// The words that one `--entrypoint` or `--args` names.
pub type Words = Vec<String>;

/// The longest time that a flag may name.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The most ports of one range.
const MAX_RANGE: u16 = 1_000;

/// `90s`, `10m`, `1h30m`, `250ms`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as `30s`, `10m` or `1h30m`".to_owned();
    let too_long = || format!("at most ten years: `{}h`", MAX_TIME.as_secs() / 3600);
    if let Some(seconds) = number::<u64>(text) {
        return Some(Duration::from_secs(seconds)).filter(|time| *time <= MAX_TIME).ok_or_else(too_long);
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
        let (number, tail) = rest.split_at(digits);
        let units = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(units);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(expected()),
        };
        let number: f64 = number.parse().map_err(|_| expected())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| too_long())?;
        total = total.checked_add(part).filter(|time| *time <= MAX_TIME).ok_or_else(too_long)?;
        rest = tail;
    }
    if text.is_empty() { Err(expected()) } else { Ok(total) }
}

/// `512m`, `2GiB`, `1073741824`: powers of 1024, as Docker counts.
pub fn memory(text: &str) -> Result<u64, String> {
    let expected = || "expected a size such as `512m` or `2g`, at least 1 byte".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(expected()),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(1 << shift).ok_or_else(expected)?,
        Err(_) => scaled(number, 2f64.powi(shift)).ok_or_else(expected)?,
    };
    if bytes == 0 || bytes > 1 << 50 { Err(expected()) } else { Ok(bytes) }
}

/// `0.5`, `2`: cores, in thousandths.
pub fn cpus(text: &str) -> Result<u64, String> {
    let expected = || "expected a number of cores such as `0.5` or `2`, at least 0.001".to_owned();
    let milli = scaled(text, 1000.0).ok_or_else(expected)?;
    if milli == 0 || milli > 1_000_000 { Err(expected()) } else { Ok(milli) }
}

/// A decimal number times a factor, as a whole number.
fn scaled(text: &str, factor: f64) -> Option<u64> {
    if !text.bytes().all(|c| c.is_ascii_digit() || c == b'.') {
        return None;
    }
    let scaled = text.parse::<f64>().ok()? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    (scaled.is_finite() && (0.0..1e15).contains(&scaled)).then_some(scaled as u64)
}

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(text.to_owned()),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// `KEY=VALUE`, or `KEY` to take it from this process's environment.
pub fn env(text: &str) -> Result<String, String> {
    if text.contains('=') {
        return pair(text);
    }
    match std::env::var(text) {
        Ok(value) => Ok(format!("{text}={value}")),
        Err(_) => Err(format!("`{text}` is not set here; expected KEY=VALUE")),
    }
}

/// The longest name that an agent is asked about, in bytes: ids and names of tasks are shorter.
const MAX_NAME: usize = 255;

/// A name or an id of something that is there already.
pub fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > MAX_NAME {
        return Err(format!("it is longer than {MAX_NAME} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character in it".to_owned());
    }
    Ok(text.to_owned())
}

/// A number in digits: whoever types `+1` means one more, and is not understood.
pub fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))
}

/// How many.
pub fn count(text: &str) -> Result<u32, String> {
    number(text).ok_or_else(|| "expected a number, from 0".to_owned())
}

/// How many agents try it out.
pub fn dev_nodes(text: &str) -> Result<u8, String> {
    number(text).filter(|nodes| (3..=9).contains(nodes)).ok_or_else(|| "expected 3 to 9".to_owned())
}

/// How many replicas.
pub fn replicas(text: &str) -> Result<u32, String> {
    number(text).ok_or_else(|| "expected a number of replicas, from 0".to_owned())
}

/// A command line into words, as a shell splits it: blanks, quotes and backslashes, and nothing else.
pub fn words(text: &str) -> Result<Words, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => {
                let escaped = rest.next().ok_or_else(|| "it ends with a backslash".to_owned())?;
                word.get_or_insert_default().push(escaped);
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a {open} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

/// `KEY=VALUE` sets, `KEY-` removes.
pub fn label_change(text: &str) -> Result<(String, Option<String>), String> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) if !key.is_empty() => Ok((key.to_owned(), Some(value.to_owned()))),
        (None, Some(key)) if !key.is_empty() => Ok((key.to_owned(), None)),
        _ => Err("expected KEY=VALUE to set, or KEY- to remove".to_owned()),
    }
}

/// `SERVICE=N`.
pub fn scale(text: &str) -> Result<(String, u32), String> {
    let expected = || "expected SERVICE=N, such as `web=5`".to_owned();
    let (service, number) = text.rsplit_once('=').ok_or_else(expected)?;
    if service.is_empty() {
        return Err(expected());
    }
    Ok((name(service)?, replicas(number)?))
}

/// `[IP:]PUBLISHED:TARGET[/udp]`, ranges of equal length, or
/// `published=8080,target=80,protocol=tcp,mode=host`.
pub fn ports(text: &str) -> Result<Ports, String> {
    if text.contains('=') {
        return long_ports(text);
    }
    let (text, protocol) = match text.rsplit_once('/') {
        Some((rest, protocol)) => (rest, protocol_of(protocol)?),
        None => (text, Protocol::Tcp),
    };
    let expected =
        || "expected [IP:]PUBLISHED:TARGET, such as `8080:80` or `127.0.0.1:8080:80/udp`".to_owned();
    let (published, target) = text.rsplit_once(':').ok_or_else(expected)?;
    let (host_ip, published) = match published.rsplit_once(':') {
        Some((ip, published)) => (ip.trim_start_matches('[').trim_end_matches(']'), published),
        None => ("", published),
    };
    pairs(host_ip, range(published)?, range(target)?, protocol)
}

/// One port of the host for each of a task.
fn pairs(host_ip: &str, published: Range, target: Range, protocol: Protocol) -> Result<Ports, String> {
    if published.len() != target.len() {
        return Err("the two ranges of ports differ in length".to_owned());
    }
    let port = |(published, target)| Port { host_ip: host_ip.to_owned(), published, target, protocol };
    Ok(published.zip(target).map(port).collect())
}

fn range(text: &str) -> Result<Range, String> {
    let port = |text: &str| match number::<u16>(text) {
        Some(0) | None => Err(format!("`{text}` is not a port: 1 to 65535")),
        Some(port) => Ok(port),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if last < first || last - first >= MAX_RANGE {
        return Err(format!("`{text}` is not a range of at most {MAX_RANGE} ports"));
    }
    Ok(first..=last)
}

fn long_ports(text: &str) -> Result<Ports, String> {
    let (mut published, mut target, mut protocol, mut host_ip) = (None, None, Protocol::Tcp, "");
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not key=value"))?;
        match key {
            "published" => published = Some(range(value)?),
            "target" => target = Some(range(value)?),
            "protocol" => protocol = protocol_of(value)?,
            "host_ip" => host_ip = value,
            "mode" if value == "host" => {}
            "mode" => {
                return Err(format!("mode `{value}` is not supported: ports are published in mode `host`"));
            }
            _ => return Err(format!("`{key}` is none of published, target, protocol, host_ip, mode")),
        }
    }
    match (published, target) {
        (Some(published), Some(target)) => pairs(host_ip, published, target, protocol),
        _ => Err("expected both published=PORT and target=PORT".to_owned()),
    }
}

/// The target of a published port: of whatever protocol, unless it is said.
pub fn target(text: &str) -> Result<(u16, Option<Protocol>), String> {
    let (port, protocol) = match text.split_once('/') {
        Some((port, protocol)) => (port, Some(protocol_of(protocol)?)),
        None => (text, None),
    };
    let port = number(port).filter(|port| *port > 0);
    Ok((port.ok_or_else(|| "expected a port such as `80` or `53/udp`".to_owned())?, protocol))
}

fn protocol_of(text: &str) -> Result<Protocol, String> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err(format!("`{text}` is not a protocol: tcp or udp")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_docker_s_and_bare_seconds() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        for bad in ["", "s", "1x", "-1s", "+5", "+5s", "1e400s", "NaN", "99999999d", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        let ten_years = "at most ten years: `87600h`".to_owned();
        assert_eq!(duration("87600h"), Ok(MAX_TIME));
        for long in ["999999h", "9999999999", "50000d"] {
            assert_eq!(duration(long), Err(ten_years.clone()), "{long}");
        }
    }

    #[test]
    fn a_target_has_a_protocol_or_any() {
        assert_eq!(target("53"), Ok((53, None)));
        assert_eq!(target("53/udp"), Ok((53, Some(Protocol::Udp))));
        for bad in ["", "0", "+53", "65536", "53/", "53/icmp", "/udp", "8080:80"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_a_shell_s() {
        let words = |text: &str| words(text).map(|words| words.join("|"));
        assert_eq!(words("sleep  infinity"), Ok("sleep|infinity".to_owned()));
        assert_eq!(words(r#"sh -c 'echo "a b"' '' c\ d"#), Ok(r#"sh|-c|echo "a b"||c d"#.to_owned()));
        assert_eq!(words(" "), Ok(String::new()));
        for bad in ["'a", "\"a", "a\\"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_no_agent_can_know_are_not_asked_about() {
        for bad in ["", "a\nb", "a\0", &"x".repeat(256)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        for good in ["web", "web.2", "../x", "ü"] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        for bad in ["web", "=3", "web=", "web=-1", "web=+1", "web=4294967296", "web=NaN"] {
            assert!(scale(bad).is_err(), "{bad}");
        }
        assert_eq!(scale("web=3"), Ok(("web".to_owned(), 3)));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(memory("512m"), Ok(512 << 20));
        assert_eq!(memory("1.5GiB"), Ok(3 << 29));
        assert_eq!(cpus("0.5"), Ok(500));
        for bad in ["0", "-1", "9E", "", "m", "99999999999t"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        for bad in ["0.0000001", "-1", "inf", "1e3", ""] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_in_docker_s_spellings() {
        let port = |host_ip: &str, published, target, protocol| Port {
            host_ip: host_ip.to_owned(),
            published,
            target,
            protocol,
        };
        assert_eq!(ports("8080:80"), Ok(vec![port("", 8080, 80, Protocol::Tcp)]));
        assert_eq!(ports("[::1]:53:53/udp"), Ok(vec![port("::1", 53, 53, Protocol::Udp)]));
        assert_eq!(ports("1-2:3-4").map(|ports| ports.len()), Ok(2));
        assert_eq!(ports("published=8080,target=80,mode=host"), Ok(vec![port("", 8080, 80, Protocol::Tcp)]));
        let ranges = ports("published=8080-8082,target=80-82,host_ip=::1,protocol=udp");
        let expected = (0..3).map(|more| port("::1", 8080 + more, 80 + more, Protocol::Udp)).collect();
        assert_eq!(ranges, Ok(expected));
        for bad in ["published=8080-8082,target=80", "+80:+80", "published=+80,target=80"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
        for bad in ["80", "0:80", "65536:80", "9-8:1-2", "1-3:1-2", "80:80/icmp", "target=80", "x:y"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
