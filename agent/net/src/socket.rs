//! UDP sockets: opened, and counted.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use tokio::sync::watch::Sender;

use crate::counters::{Tally, add, count};
use crate::error::NetError;

/// Opens a socket. The unspecified IPv6 address takes IPv4 as well, unless `also_v4` says that another
/// socket does; on a host without IPv6 it becomes the unspecified IPv4 address.
pub(crate) fn open(address: SocketAddr, also_v4: bool) -> Result<UdpSocket, NetError> {
    match open_exactly(address, also_v4) {
        Ok(socket) => Ok(socket),
        Err(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
            if address.is_ipv6() && address.ip().is_unspecified() && !also_v4 =>
        {
            open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), false)
        }
        Err(errno) => Err(NetError::Bind { address, source: errno.into() }),
    }
}

fn open_exactly(address: SocketAddr, also_v4: bool) -> Result<UdpSocket, rustix::io::Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, also_v4 || !address.ip().is_unspecified())?;
    }
    bind(&socket, &address)?;
    Ok(UdpSocket::from(socket))
}

/// An address as people write it: IPv4 within IPv6 is IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether a socket bound to `local`, which is one of `all`, can send to `remote`.
pub(crate) fn reaches(local: SocketAddr, all: &[SocketAddr], remote: SocketAddr) -> bool {
    // As it was opened: beside one for IPv4 it takes IPv6 alone.
    let also_v4 = all.iter().any(|other| other.is_ipv4() && other.port() == local.port());
    let dual = local.is_ipv6() && local.ip().is_unspecified() && !also_v4;
    let family = dual || local.is_ipv4() == remote.is_ipv4();
    let loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    family && (!loopback(local.ip()) || loopback(remote.ip()))
}

/// The sockets of one network, until they are released.
#[derive(Debug)]
pub(crate) struct Ports {
    tally: Arc<Tally>,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    /// A copy is in every open socket.
    open: Arc<Sender<()>>,
    sockets: Vec<Weak<Counted>>,
}

impl Ports {
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        let held = Held { open: Arc::new(Sender::new(())), sockets: Vec::new() };
        Self { tally, held: Mutex::new(Some(held)) }
    }

    pub(crate) fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let open = Open { socket: TokioRuntime.wrap_udp_socket(socket)?, _open: held.open.clone() };
        let socket = Counted { open: Mutex::new(Some(Arc::new(open))), tally: self.tally.clone() };
        let socket = Arc::new(socket);
        held.sockets.push(Arc::downgrade(&socket));
        Ok(socket)
    }

    /// Cuts every socket off from its port, whoever still holds it. Comes true when the ports are free.
    pub(crate) fn release(&self) -> impl Future<Output = ()> + use<> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let released = held.map(|held| {
            for socket in held.sockets.iter().filter_map(Weak::upgrade) {
                drop(socket.slot().take());
            }
            held.open.subscribe()
        });
        async move {
            if let Some(mut released) = released {
                // Nothing is ever sent; the error says that the last sender is gone.
                while released.changed().await.is_ok() {}
            }
        }
    }
}

/// A socket that counts what goes through it. Once it is cut off it hears nothing, and what it sends is
/// lost: a connection that still waits for a peer's last word holds no port by that.
#[derive(Debug)]
struct Counted {
    open: Mutex<Option<Arc<Open>>>,
    tally: Arc<Tally>,
}

/// One that has its port. Fields are dropped in their order: `_open` last.
#[derive(Debug)]
struct Open {
    socket: Arc<dyn AsyncUdpSocket>,
    /// Its last copy goes when the kernel has the port back.
    _open: Arc<Sender<()>>,
}

/// What waits until a socket can be written to. It holds the socket only while it waits.
#[derive(Debug)]
struct Poller {
    socket: Arc<Counted>,
    waits: Option<Waiting>,
}

/// Fields are dropped in their order: `_open` last.
#[derive(Debug)]
struct Waiting {
    poller: Pin<Box<dyn UdpPoller>>,
    _open: Arc<Open>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waits = self.waits.take();
        let Some(open) = self.socket.open() else { return Poll::Ready(Ok(())) };
        let begin = || Waiting { poller: open.socket.clone().create_io_poller(), _open: open };
        let mut waiting = waits.unwrap_or_else(begin);
        let polled = waiting.poller.as_mut().poll_writable(cx);
        if polled.is_pending() {
            self.waits = Some(waiting);
        }
        polled
    }
}

impl Counted {
    fn slot(&self) -> MutexGuard<'_, Option<Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Option<Arc<Open>> {
        self.slot().clone()
    }
}

impl AsyncUdpSocket for Counted {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { socket: self, waits: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(open) = self.open() else { return Ok(()) };
        open.socket.try_send(transmit)?;
        let segments = transmit.segment_size.map_or(1, |size| transmit.contents.len().div_ceil(size.max(1)));
        add(&self.tally.packets_sent, segments);
        add(&self.tally.bytes_sent, transmit.contents.len());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Some(open) = self.open() else { return Poll::Pending };
        let received = std::task::ready!(open.socket.poll_recv(cx, bufs, meta))?;
        for (buf, meta) in bufs.iter().zip(meta.iter()).take(received) {
            add(&self.tally.bytes_received, meta.len);
            for packet in buf[..meta.len.min(buf.len())].chunks(meta.stride.max(1)) {
                count(&self.tally.packets_received);
                if !looks_like_quic(packet) {
                    count(&self.tally.packets_foreign);
                }
            }
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.open().ok_or(io::ErrorKind::NotConnected)?.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.open().map_or(1, |open| open.socket.max_transmit_segments())
    }

    fn max_receive_segments(&self) -> usize {
        self.open().map_or(1, |open| open.socket.max_receive_segments())
    }

    fn may_fragment(&self) -> bool {
        self.open().is_none_or(|open| open.socket.may_fragment())
    }
}

/// The fixed bit, and for a long header a version that this release speaks (RFC 9000 §17). Random bytes
/// pass with one chance in two; what is behind is quinn's to check.
fn looks_like_quic(packet: &[u8]) -> bool {
    match packet {
        [first, v0, v1, v2, v3, ..] if first & 0x80 != 0 => {
            first & 0x40 != 0 && matches!([*v0, *v1, *v2, *v3], [0, 0, 0, 0 | 1])
        }
        [first, ..] => first & 0xc0 == 0x40 && packet.len() >= 21,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket for both families is not one any more beside one of the same port for IPv4.
    #[test]
    fn each_address_has_the_sockets_that_reach_it() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (any, v4, other) = (address("[::]:7533"), address("10.0.0.1:7533"), address("10.0.0.1:7534"));
        let (to_v4, to_v6) = (address("10.0.0.2:7533"), address("[fd00::2]:7533"));
        let all = [any, v4];
        assert_eq!([any, v4].map(|local| reaches(local, &all, to_v4)), [false, true]);
        assert_eq!([any, v4].map(|local| reaches(local, &all, to_v6)), [true, false]);
        let all = [any, other];
        assert_eq!([any, other].map(|local| reaches(local, &all, to_v4)), [true, true]);
    }
}
