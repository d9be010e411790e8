//! Who may use `/v1` at the loopback's TCP door: who has the token, and does not come by way of a web page.
//!
//! Any local user can open that door, and so can any web page that is open in a browser on this host: by
//! naming the address, or by a name of its own that leads here (DNS rebinding). So a request needs
//! `Authorization: Bearer TOKEN`, a `Host` that is this door's own address, and no `Origin` but that.
//! Without a token file nothing below `/v1` is served here at all.
//!
//! # Not here
//! Health and metrics: they change nothing and name no secret. The other two doors: the socket's file mode
//! and the operators' keys guard those.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use sleep_wire::api::{Code, Problem};

use super::Failure;

/// The shortest token that nobody guesses.
const MIN_TOKEN: usize = 20;

/// What a request at the TCP door must bring.
#[derive(Clone)]
pub struct Guard {
    /// Of the token: what is compared must not tell by its time how much of it was right.
    token: Option<[u8; 32]>,
    /// `IP:PORT` and `localhost:PORT`.
    hosts: Arc<[String]>,
}

/// Why a token file is of no use.
#[derive(Debug)]
pub struct TokenError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the API's token file {}: {}", self.path.display(), self.problem)
    }
}

impl Guard {
    /// A guard for a door at this address. Without a token file nobody gets in.
    ///
    /// # Errors
    /// [`TokenError`] if the file cannot be read, others may read it, or what is in it is no token.
    pub fn new(address: SocketAddr, token: Option<&Path>) -> Result<Self, TokenError> {
        let token = token.map(read).transpose()?;
        let hosts = [address.to_string(), format!("localhost:{}", address.port())];
        Ok(Self { token, hosts: hosts.into() })
    }

    fn judge(&self, request: &Request) -> Result<(), Failure> {
        let forbidden = |title: &str| Failure::from(Problem::new(Code::Forbidden, 403, title));
        let Some(token) = &self.token else {
            let problem = Problem::new(Code::Forbidden, 403, "the API is not served at this door");
            return Err(problem
                .detail("the agent's socket serves it; here it wants --api-token-file FILE")
                .into());
        };
        let named = request.uri().authority().is_none_or(|named| self.is_here(named.as_str()));
        let host = only(request.headers(), &header::HOST).is_some_and(|host| self.is_here(host));
        if !named || !host {
            return Err(forbidden("the request's Host is not this agent's address"));
        }
        if request.headers().contains_key(header::ORIGIN) {
            let origin = only(request.headers(), &header::ORIGIN);
            if !origin.and_then(|origin| origin.strip_prefix("http://")).is_some_and(|at| self.is_here(at)) {
                return Err(forbidden("web pages may not use this API"));
            }
        }
        let brought = only(request.headers(), &header::AUTHORIZATION).and_then(bearer);
        if brought.is_none_or(|brought| digest(brought) != *token) {
            return Err(
                Problem::new(Code::Forbidden, 401, "a bearer token is needed, and this is none").into()
            );
        }
        Ok(())
    }

    fn is_here(&self, host: &str) -> bool {
        self.hosts.iter().any(|here| here.eq_ignore_ascii_case(host))
    }
}

/// Lets a request pass, or answers it.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.judge(&request) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            let asks = failure.0.status == 401;
            let mut response = failure.into_response();
            if asks {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

fn read(path: &Path) -> Result<[u8; 32], TokenError> {
    let trouble = |problem: String| TokenError { path: path.to_owned(), problem };
    let cannot = |error: io::Error| trouble(error.to_string());
    let mode = fs::metadata(path).map_err(cannot)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(trouble(format!("everybody may use it (mode {:o})", mode & 0o777)));
    }
    let text = fs::read_to_string(path).map_err(cannot)?;
    let token = text.trim();
    if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(trouble(format!("a token is one word of {MIN_TOKEN} ASCII characters or more")));
    }
    Ok(digest(token))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::Method;
    use axum::middleware::from_fn_with_state;
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    const TOKEN: &str = "a-token-that-nobody-guesses";

    fn door(address: &str, token: Option<&str>) -> Router {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("token");
        let file = token.map(|token| {
            fs::write(&path, format!("{token}\n")).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner may");
            path.as_path()
        });
        let guarded = Guard::new(address.parse().expect("an address"), file).expect("a guard");
        Router::new().route("/v1/x", any(|| async { "in" })).layer(from_fn_with_state(guarded, guard))
    }

    /// The status of what is answered, and its kind.
    async fn ask(door: &Router, headers: &[(HeaderName, &str)]) -> (u16, String) {
        let mut request = Request::builder().method(Method::POST).uri("/v1/x");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let answer = door.clone().oneshot(request).await.expect("a router answers");
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        (answer.status().as_u16(), kind.unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn whoever_has_the_token_and_names_this_door_gets_in() {
        let here = door("127.0.0.1:7534", Some(TOKEN));
        let bearer = format!("Bearer {TOKEN}");
        for host in ["127.0.0.1:7534", "localhost:7534", "LOCALHOST:7534"] {
            let answer = ask(&here, &[(header::HOST, host), (header::AUTHORIZATION, &bearer)]).await;
            assert_eq!(answer.0, 200, "{host}");
        }
        let six = door("[::1]:7534", Some(TOKEN));
        let answer = ask(&six, &[(header::HOST, "[::1]:7534"), (header::AUTHORIZATION, &bearer)]).await;
        assert_eq!(answer.0, 200);
    }

    /// A page that the user has open: its own name may lead to this address, and its script may even know the
    /// token; the browser still says where it comes from.
    #[tokio::test]
    async fn a_web_page_does_not_get_in() {
        let here = door("127.0.0.1:7534", Some(TOKEN));
        let bearer = format!("Bearer {TOKEN}");
        let token = (header::AUTHORIZATION, bearer.as_str());
        let local = (header::HOST, "127.0.0.1:7534");
        let problem = "application/problem+json".to_owned();
        for headers in [
            vec![(header::HOST, "evil.example:7534"), token.clone()],
            vec![(header::HOST, "evil.example"), token.clone()],
            vec![(header::HOST, "127.0.0.1"), token.clone()],
            vec![(header::HOST, "127.0.0.1:7534.evil.example"), token.clone()],
            vec![token.clone()],
            vec![local.clone(), (header::HOST, "evil.example"), token.clone()],
            vec![local.clone(), (header::ORIGIN, "http://evil.example"), token.clone()],
            vec![local.clone(), (header::ORIGIN, "null"), token.clone()],
            vec![local.clone(), (header::ORIGIN, "https://127.0.0.1:7534"), token.clone()],
        ] {
            assert_eq!(ask(&here, &headers).await, (403, problem.clone()), "{headers:?}");
        }
        let own = [local, (header::ORIGIN, "http://127.0.0.1:7534"), token];
        assert_eq!(ask(&here, &own).await.0, 200);
    }

    #[tokio::test]
    async fn without_the_token_nobody_gets_in() {
        let here = door("127.0.0.1:7534", Some(TOKEN));
        let host = (header::HOST, "127.0.0.1:7534");
        let problem = "application/problem+json".to_owned();
        assert_eq!(ask(&here, std::slice::from_ref(&host)).await, (401, problem.clone()));
        for wrong in ["Bearer", "Bearer ", "Bearer a-token-that-nobody-guesse", "Basic YTpi", TOKEN] {
            let answer = ask(&here, &[host.clone(), (header::AUTHORIZATION, wrong)]).await;
            assert_eq!(answer, (401, problem.clone()), "{wrong}");
        }
        let shut = door("127.0.0.1:7534", None);
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(ask(&shut, &[host, (header::AUTHORIZATION, &bearer)]).await, (403, problem));
    }

    /// Health and metrics are for all; of what is not there no token is asked.
    #[tokio::test]
    async fn the_guard_stands_before_the_api_alone() {
        let guard = Guard::new("127.0.0.1:7534".parse().expect("an address"), None).expect("a guard");
        let door = crate::api::guarded_router(crate::api::testing::stopping(), guard);
        for (path, status) in [("/metrics", 200), ("/v1/status", 403), ("/v1/nonsense", 404), ("/x", 404)] {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answer = door.clone().oneshot(request).await.expect("a router answers");
            assert_eq!(answer.status().as_u16(), status, "{path}");
            let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            assert_eq!(kind == Some("application/problem+json"), status != 200, "{path}: {kind:?}");
        }
    }

    #[test]
    fn a_file_that_everybody_reads_or_that_holds_no_token_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("token");
        let address = "127.0.0.1:7534".parse().expect("an address");
        let said = |text: &str, mode: u32| {
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its owner may");
            let error = Guard::new(address, Some(&path)).err().map(|error| error.problem);
            error.unwrap_or_default()
        };
        assert_eq!(said(TOKEN, 0o640), "");
        assert_eq!(said(TOKEN, 0o644), "everybody may use it (mode 644)");
        for bad in ["", "short", "two words that are long enough", "ümlaut-ümlaut-ümlaut"] {
            assert_eq!(said(bad, 0o600), "a token is one word of 20 ASCII characters or more", "{bad}");
        }
        assert!(Guard::new(address, Some(&dir.path().join("none"))).is_err());
    }
}
