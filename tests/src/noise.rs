//! What no agent should ever be sent, and must bear: bytes without a meaning, and almost-meanings.
//!
//! # Not here
//! What an agent does of it: see the tests.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// Bytes that are the same for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Noise(u64);

impl Noise {
    /// Another seed, other bytes.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }

    /// Up to so many bytes, at least one.
    pub fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..=self.below(most)).map(|_| self.byte()).collect()
    }

    /// What begins as a packet of QUIC does, and goes on as it likes: the first of a connection in a version
    /// that is spoken or in another, a later one, or one that ends too early.
    pub fn packet(&mut self) -> Vec<u8> {
        let kind = self.below(4);
        if kind == 0 {
            return std::iter::once(0x40 | self.byte() & 0x3f).chain(self.bytes(1400)).collect();
        }
        let version: u32 = if kind == 1 { 0x0a1a_2a3a } else { 1 };
        let mut packet = vec![0xc0 | self.byte() & 0x3f];
        packet.extend(version.to_be_bytes());
        for _ in 0..2 {
            let id = self.below(21);
            packet.push(self.byte() % 24);
            packet.extend((0..id).map(|_| self.byte()));
        }
        // No token, then a length of two bytes.
        packet.extend([0, 0x40 | self.byte() & 0x3f, self.byte()]);
        packet.extend(self.bytes(1200));
        if kind != 3 {
            packet.resize(packet.len().max(1200), self.byte());
        }
        packet
    }

    fn byte(&mut self) -> u8 {
        self.below(256).to_le_bytes()[0]
    }
}

/// Sends datagrams from a port of its own.
pub fn throw(at: SocketAddr, datagrams: impl Iterator<Item = Vec<u8>>) -> Result<()> {
    let wrong = |error: io::Error| Error::new(format!("{at}: {error}"));
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(wrong)?;
    for datagram in datagrams {
        socket.send_to(&datagram, at).map_err(wrong)?;
    }
    Ok(())
}

/// Where an agent speaks HTTP.
#[derive(Debug, Clone)]
pub enum Door {
    /// Its control socket.
    Unix(PathBuf),
    /// Its health and metrics.
    Tcp(SocketAddr),
}

/// Both ways of a connection.
pub trait Line: Read + Write {}

impl<S: Read + Write> Line for S {}

impl Door {
    /// A connection whose other end may be silent for so long.
    pub fn open(&self, patience: Duration) -> Result<Box<dyn Line>> {
        let wrong = |error: io::Error| Error::new(format!("{self:?}: {error}"));
        let time = Some(patience);
        Ok(match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(wrong)?;
                stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time)).map_err(wrong)?;
                Box::new(stream)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).map_err(wrong)?;
                stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time)).map_err(wrong)?;
                Box::new(stream)
            }
        })
    }

    /// Says something there, and gives the status of the answer; `None` if there was none.
    pub fn say(&self, words: &[u8], patience: Duration) -> Result<Option<u16>> {
        let mut line = self.open(patience)?;
        // It may hang up before it has heard all of it; what counts is what it answers.
        let _hung_up = line.write_all(words);
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            match line.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend(&piece[..read]),
            }
        }
        let head = String::from_utf8_lossy(&answer);
        Ok(head.strip_prefix("HTTP/1.").and_then(|head| head.get(2..5)?.parse().ok()))
    }
}

/// Requests that no server may carry out, and each of which deserves an answer that says so.
pub fn bad_requests() -> Vec<Vec<u8>> {
    let head = "POST /v1/services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let body = |body: &str| format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let with = |line: &str| format!("{head}{line}\r\n\r\n");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let all = [
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        get("/v1/../../etc/passwd"),
        get("/v1/services/%00%ff%2e%2e"),
        get(&format!("/{}", "a".repeat(10_000))),
        "DELETE /v1/nodes HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        with("Content-Length: -1"),
        with("Content-Length: 18446744073709551616"),
        with(&"a: b\r\n".repeat(1000)),
        body(&"[".repeat(100_000)),
        body(r#"{"name": "web", "name": "\ud800"}"#),
        body(r#"{"name": 1e999}"#),
        body(""),
    ];
    all.into_iter().map(String::into_bytes).collect()
}
