//! An engine made of canned answers: it says what real ones rarely say, and keeps a list of what it was
//! asked.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// What it says to a request.
pub(crate) enum Answer {
    /// A status and a body.
    Says(u16, String),
    /// The beginning of a body, and then nothing.
    Hangs(String),
    /// A status and a body, once it is told to.
    Waits(Arc<Notify>, u16, String),
    /// Nothing at all.
    Silence,
}

/// Answers `METHOD /path?query`, the API's version left out.
type Script = dyn Fn(&str) -> Answer + Send + Sync;

pub(crate) struct Fake {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Listens; what the script does not know is a 404 without words.
    pub(crate) fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let listener =
            UnixListener::bind(dir.path().join("docker.sock")).expect("the directory can be written");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), log.clone()));
            }
        });
        Self { dir, asked }
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("docker.sock").display())
    }

    /// What it was asked since this was last called, in order, without queries.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.drain(..).map(|line| line.split('?').next().unwrap_or_default().to_owned()).collect()
    }
}

async fn serve(mut stream: UnixStream, script: Arc<Script>, log: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let text = String::from_utf8_lossy(&request);
    let mut words = text.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.strip_prefix("/v1.").and_then(|rest| Some(&rest[rest.find('/')?..])).unwrap_or(path);
    let asked = format!("{method} {path}");
    log.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let (status, body, goes_on) = match script(&asked) {
        Answer::Says(status, body) => (status, body, false),
        Answer::Hangs(body) => (200, body, true),
        Answer::Waits(told, status, body) => {
            told.notified().await;
            (status, body, false)
        }
        Answer::Silence => return std::future::pending().await,
    };
    let length = if goes_on { 1 << 20 } else { body.len() };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    // Whoever asked may be gone.
    let _gone = stream.write_all((head + &body).as_bytes()).await;
    if goes_on {
        std::future::pending::<()>().await;
    }
}
