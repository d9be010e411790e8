//! quinn's settings: every limit named, since its defaults allow some 250 MB a connection.

use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use sleep_wire::PublicKey;
use sleep_wire::message::MAX_DATAGRAM;

use crate::error::NetError;
use crate::limits::{
    CONNECTION_WINDOW, Limits, MEMBER_STREAMS, OPERATOR_WINDOW, STRANGER_WINDOW, STREAM_WINDOW,
};
use crate::tls::{Identity, Purpose, sha256};

/// UDP payloads that go over every path that QUIC accepts. Larger ones are not searched for: what agents
/// say is small, and a probe is traffic.
const MTU: u16 = 1_200;

/// The largest UDP payload that is received: a later release may find larger paths.
const MAX_PAYLOAD: u16 = 1_472;

/// Before a round trip was measured. A lost first packet is sent again after three times this.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Datagrams of a peer that nobody has read yet, and that wait to be sent, in bytes.
const DATAGRAM_BUFFER: usize = 64 * (MAX_DATAGRAM + 64);

pub(crate) fn endpoint(seed: &[u8; 32]) -> Result<EndpointConfig, NetError> {
    // Both keys outlive the process: an agent that comes back after a crash can tell its peers, at their
    // first packet, that the old connection is gone (RFC 9000 §10.3). With fresh ones they would wait out
    // the idle time.
    let reset = sha256(&[b"sleepd reset 1\0\0".as_slice(), seed].concat());
    let names = sha256(&[b"sleepd cids 1\0\0\0".as_slice(), seed].concat());
    let [a, b, c, d, e, f, g, h, ..] = names.0;
    let names = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset.0)));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(names)))
        .grease_quic_bit(false)
        .max_udp_payload_size(MAX_PAYLOAD)
        .map_err(|error| NetError::Key(error.to_string()))?;
    Ok(config)
}

/// How others are answered: as strangers, until their key is judged and [`crate::accept`] raises the limits.
pub(crate) fn server(identity: &Identity, limits: &Limits) -> Result<ServerConfig, NetError> {
    let mut transport = common(limits);
    transport
        .max_concurrent_bidi_streams(0u32.into())
        .max_concurrent_uni_streams(0u32.into())
        .receive_window(STRANGER_WINDOW.into())
        .send_window(CONNECTION_WINDOW.into());
    let mut config = ServerConfig::with_crypto(Arc::new(identity.answering()?));
    config
        .transport_config(Arc::new(transport))
        .migration(true)
        .retry_token_lifetime(limits.handshake)
        .max_incoming(limits.pending_handshakes)
        .incoming_buffer_size(8 * 1024)
        .incoming_buffer_size_total(512 * 1024);
    Ok(config)
}

/// How this side dials.
pub(crate) fn client(
    identity: &Identity,
    limits: &Limits,
    purpose: Purpose,
    expected: Option<PublicKey>,
) -> Result<ClientConfig, NetError> {
    let mut transport = common(limits);
    transport.max_concurrent_bidi_streams(0u32.into());
    match purpose {
        Purpose::Cluster => transport
            .max_concurrent_uni_streams(MEMBER_STREAMS.into())
            .receive_window(CONNECTION_WINDOW.into())
            .send_window(CONNECTION_WINDOW.into()),
        Purpose::Join => transport
            .max_concurrent_uni_streams(0u32.into())
            .receive_window(STRANGER_WINDOW.into())
            .send_window(STRANGER_WINDOW.into()),
        // Whoever watches says nothing for hours.
        Purpose::Api => transport
            .max_concurrent_uni_streams(0u32.into())
            .receive_window(OPERATOR_WINDOW.into())
            .send_window(OPERATOR_WINDOW.into())
            .keep_alive_interval(Some(limits.keep_alive)),
    };
    let mut config = ClientConfig::new(Arc::new(identity.dialling(purpose, expected)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

fn common(limits: &Limits) -> TransportConfig {
    let idle = IdleTimeout::try_from(limits.idle_timeout).unwrap_or_else(|_| VarInt::from_u32(30_000).into());
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .stream_receive_window(STREAM_WINDOW.into())
        .send_fairness(false)
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(MTU)
        .min_mtu(MTU)
        .mtu_discovery_config(None)
        .ack_frequency_config(None)
        .keep_alive_interval(None)
        .crypto_buffer_size(16 * 1024)
        .allow_spin(false)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    transport
}
