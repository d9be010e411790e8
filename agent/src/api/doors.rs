//! Where requests come in: the unix socket, loopback TCP, streams of the QUIC port.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tracing::{debug, warn};

/// Readable and writable by its owner and group: whoever may use it owns the cluster.
const SOCKET_MODE: u32 = 0o660;

/// A unix socket that is removed when it is dropped.
pub struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixDoor {
    /// Listens at `path`, in place of a socket that nobody listens on any more.
    ///
    /// # Errors
    /// If another agent listens there, or the path cannot be written.
    pub async fn open(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match UnixStream::connect(path).await {
            Ok(_) => {
                let message = format!("another agent listens on {}", path.display());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
            }
            // A file of another kind refuses too, and is somebody's.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(path)? => {
                fs::remove_file(path)?;
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until the process ends.
    pub async fn serve(self, router: Router) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => serve_stream(stream, router.clone()),
                Err(error) => refused(&error).await,
            }
        }
    }
}

fn is_socket(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.file_type().is_socket())
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            debug!(path = %self.path.display(), %error, "the socket was gone already");
        }
    }
}

/// Listens on loopback TCP.
///
/// # Errors
/// If the address is taken, or is not a loopback address.
pub async fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let message = format!("{address} is not a loopback address");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    TcpListener::bind(address).await
}

/// Serves loopback TCP until the process ends.
pub async fn serve_tcp(listener: TcpListener, router: Router) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => serve_stream(stream, router.clone()),
            Err(error) => refused(&error).await,
        }
    }
}

/// Serves one connection in the background.
pub fn serve_stream(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    tokio::spawn(async move {
        let service = TowerToHyperService::new(router);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .max_headers(64)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            debug!(%error, "a client went away");
        }
    });
}

/// Out of file descriptors, most likely: give those that are open a moment to close.
async fn refused(error: &io::Error) {
    warn!(%error, "a client could not be accepted");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}
