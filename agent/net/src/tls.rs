//! Who is at the other end: raw ed25519 keys in TLS 1.3, both ways (RFC 7250).
//!
//! There is no certificate and no authority: TLS proves that the other side has the private half of its
//! key. Whether that key has any business here is judged by ALPN and key, before a stream is read.

use std::sync::Arc;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as provider};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, version};
use sleep_wire::trust::Warrant;
use sleep_wire::{Digest, NodeId, PublicKey};

use crate::error::NetError;

/// What a connection is for, as ALPN says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Members among themselves: `sleepd/1`.
    Cluster,
    /// A newcomer at the door: `sleepd-join/1`.
    Join,
    /// An operator: `sleepd-api/1`.
    Api,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Cluster, Self::Join, Self::Api];

    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Cluster => b"sleepd/1",
            Self::Join => b"sleepd-join/1",
            Self::Api => b"sleepd-api/1",
        }
    }
}

/// DER in front of an ed25519 key: SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING } (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// DER in front of an ed25519 seed: PKCS #8 version 1 (RFC 8410 §7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// This side's key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) public: PublicKey,
    pub(crate) node: NodeId,
    certified: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, NetError> {
        let problem = |error: Error| NetError::Key(error.to_string());
        let der = PrivatePkcs8KeyDer::from([PKCS8.as_slice(), seed].concat());
        let key = provider::sign::any_eddsa_type(&der).map_err(problem)?;
        let spki = key.public_key().ok_or_else(|| NetError::Key("it has no public half".to_owned()))?;
        let certificate = CertificateDer::from(spki.as_ref().to_vec());
        let public = public_key(&certificate).map_err(problem)?;
        Ok(Self {
            public,
            node: node_id(&public),
            certified: Arc::new(CertifiedKey::new(vec![certificate], key)),
            provider: Arc::new(provider::default_provider()),
        })
    }

    fn verifier(&self, expected: Option<PublicKey>) -> Arc<Verifier> {
        Arc::new(Verifier { algorithms: self.provider.signature_verification_algorithms, expected })
    }

    /// How this side answers: any key, for any of the purposes.
    pub(crate) fn answering(&self) -> Result<QuicServerConfig, NetError> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| NetError::Key(error.to_string()))?
            .with_client_cert_verifier(self.verifier(None))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.certified.clone())));
        config.alpn_protocols = Purpose::ALL.map(|purpose| purpose.alpn().to_vec()).into();
        // No tickets, no early data: every connection proves its key anew, and nothing can be replayed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        QuicServerConfig::try_from(config).map_err(|error| NetError::Key(error.to_string()))
    }

    /// How this side dials: with `expected`, no other key is answered.
    pub(crate) fn dialling(
        &self,
        purpose: Purpose,
        expected: Option<PublicKey>,
    ) -> Result<QuicClientConfig, NetError> {
        self.dialling_with(vec![purpose.alpn().to_vec()], expected)
    }

    #[cfg(test)]
    pub(crate) fn dialling_as(&self, alpn: Vec<Vec<u8>>) -> Result<QuicClientConfig, NetError> {
        self.dialling_with(alpn, None)
    }

    fn dialling_with(
        &self,
        alpn: Vec<Vec<u8>>,
        expected: Option<PublicKey>,
    ) -> Result<QuicClientConfig, NetError> {
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| NetError::Key(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(expected))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                self.certified.clone(),
            )));
        config.alpn_protocols = alpn;
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        QuicClientConfig::try_from(config).map_err(|error| NetError::Key(error.to_string()))
    }
}

/// The node or operator that a key belongs to: a hash of the key.
pub(crate) fn node_id(key: &PublicKey) -> NodeId {
    NodeId::from_digest(&sha256(&Warrant::node_claim(key)))
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    Digest(hash)
}

/// The key that a standing connection proved, and what the connection is for.
pub(crate) fn proven(connection: &quinn::Connection) -> Option<(Purpose, PublicKey)> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let key = public_key(identity.first()?).ok()?;
    let alpn = connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol?;
    let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.alpn() == alpn)?;
    Some((purpose, key))
}

fn public_key(spki: &CertificateDer<'_>) -> Result<PublicKey, Error> {
    let key = spki.strip_prefix(&SPKI).and_then(|key| <[u8; 32]>::try_from(key).ok());
    key.map(PublicKey).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    expected: Option<PublicKey>,
}

impl Verifier {
    fn judge(&self, spki: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), Error> {
        let key = public_key(spki)?;
        if !more.is_empty() || self.expected.is_some_and(|expected| expected != key) {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(())
    }

    fn signed(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(spki.as_ref());
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

fn only_tls13() -> Error {
    Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        spki: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(spki, more).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _spki: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, spki, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        spki: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(spki, more).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _spki: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, spki, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
