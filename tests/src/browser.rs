//! A real browser, without a window: pages are opened, keys pressed, pictures taken.
//!
//! Chromium is driven by its own `chromedriver`, which speaks WebDriver: JSON over HTTP on a local port.
//!
//! # Not here
//! What a page must show: see `tests/tests/pages.rs`.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// How long the browser may take over one thing.
const PATIENCE: Duration = Duration::from_secs(60);
/// How WebDriver marks an element in its JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    /// Kept open, for the driver may say more.
    _said: BufReader<ChildStdout>,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts it.
    ///
    /// # Errors
    /// What is missing, with the packages that have it.
    pub fn start() -> Result<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::new(format!("chromedriver: {error}: apt-get install chromium-driver")))?;
        let stdout = driver.stdout.take().ok_or_else(|| Error::new("chromedriver has no output"))?;
        let mut said = BufReader::new(stdout);
        let port = port_of(&mut said);
        let mut browser = Self { driver, _said: said, port: 0, session: String::new() };
        browser.port = port?;
        let options = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
            ] },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": options } });
        let made = browser.call("POST", "/session", Some(&wanted))?;
        let session = made["sessionId"].as_str().ok_or_else(|| Error::new(format!("no session: {made}")))?;
        browser.session = session.to_owned();
        Ok(browser)
    }

    /// Opens a file, and waits until it is loaded.
    pub fn open(&self, page: &Path) -> Result<()> {
        self.post("url", &json!({ "url": format!("file://{}", page.display()) })).map(drop)
    }

    /// Evaluates an expression in the page.
    pub fn value(&self, expression: &str) -> Result<Value> {
        self.post("execute/sync", &json!({ "script": format!("return {expression}"), "args": [] }))
    }

    /// The text that people see of the first element that a CSS selector finds.
    pub fn text(&self, selector: &str) -> Result<String> {
        let element = self.find(selector)?;
        let text = self.call("GET", &format!("/session/{}/element/{element}/text", self.session), None)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Presses keys while an element has the focus, as a person would.
    pub fn press(&self, selector: &str, keys: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.post(&format!("element/{element}/value"), &json!({ "text": keys })).map(drop)
    }

    /// Clicks on an element.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.post(&format!("element/{element}/click"), &json!({})).map(drop)
    }

    /// Makes the page so wide and high, in a light or a dark world.
    pub fn look(&self, (width, height): (u32, u32), dark: bool) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &media)
    }

    /// Takes a picture of what is seen, and writes it as PNG. How many bytes that are.
    pub fn picture(&self, to: &Path) -> Result<usize> {
        let shot = self.call("GET", &format!("/session/{}/screenshot", self.session), None)?;
        let bytes = from_base64(shot.as_str().unwrap_or_default());
        fs::write(to, &bytes).map_err(Error::on(to))?;
        Ok(bytes.len())
    }

    /// What the page wrote to its console since it was last asked.
    pub fn console(&self) -> Result<Vec<String>> {
        let log = self.post("se/log", &json!({ "type": "browser" }))?;
        Ok(log.as_array().into_iter().flatten().map(|entry| entry["message"].to_string()).collect())
    }

    /// The addresses that were asked for since it was last asked.
    pub fn requests(&self) -> Result<Vec<String>> {
        let log = self.post("se/log", &json!({ "type": "performance" }))?;
        let address = |entry: &Value| {
            let told: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &told["message"];
            let sent = message["method"] == "Network.requestWillBeSent";
            sent.then(|| message["params"]["request"]["url"].as_str().map(str::to_owned)).flatten()
        };
        Ok(log.as_array().into_iter().flatten().filter_map(address).collect())
    }

    fn devtools(&self, command: &str, params: &Value) -> Result<()> {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": params })).map(drop)
    }

    fn find(&self, selector: &str) -> Result<String> {
        let found = self.post("element", &json!({ "using": "css selector", "value": selector }))?;
        let element = found[ELEMENT].as_str();
        element.map(str::to_owned).ok_or_else(|| Error::new(format!("{selector}: {found}")))
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        self.call("POST", &format!("/session/{}/{what}", self.session), Some(body))
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = ask(self.port, method, path, &body.map(Value::to_string).unwrap_or_default());
        let answer = answer.map_err(|error| Error::new(format!("chromedriver: {method} {path}: {error}")))?;
        let value = serde_json::from_slice::<Value>(&answer)
            .map_err(|error| Error::new(format!("chromedriver: {method} {path}: {error}")))?;
        match &value["value"]["error"] {
            Value::String(error) => {
                Err(Error::new(format!("{method} {path}: {error}: {}", value["value"]["message"])))
            }
            _ => Ok(value["value"].clone()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser only if it is asked to; a browser that is gone already is as good.
        if !self.session.is_empty() {
            drop(self.call("DELETE", &format!("/session/{}", self.session), None));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// The port that the driver says it listens on.
fn port_of(said: &mut impl BufRead) -> Result<u16> {
    let mut before = Vec::new();
    for line in said.lines().map_while(std::result::Result::ok) {
        let port =
            line.rsplit_once("started successfully on port ").map(|(_, port)| port.trim_end_matches('.'));
        if let Some(port) = port.and_then(|port| port.parse().ok()) {
            return Ok(port);
        }
        before.push(line);
    }
    Err(Error::new(format!("chromedriver names no port: {}", before.join("; "))))
}

/// One request with one answer, of which the content is given.
fn ask(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut content = vec![0; length];
    answer.read_exact(&mut content)?;
    Ok(content)
}

/// Bytes of base64's letters; what is none of them is passed over.
fn from_base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut many) = (0_u32, 0);
    for six in text.bytes().filter_map(value) {
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        many += 6;
        if many >= 8 {
            many -= 8;
            bytes.push((bits >> many & 0xff) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        for (text, bytes) in
            [("", &b""[..]), ("TQ==", b"M"), ("TWE=", b"Ma"), ("TWFu\n", b"Man"), ("+/8=", b"\xfb\xff")]
        {
            assert_eq!(from_base64(text), bytes, "{text}");
        }
    }
}
