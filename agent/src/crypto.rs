//! Keys and hashes: ed25519 and SHA-256, and the file that a node's own key lives in.
//!
//! The key is the node: who has the file is the node, and a file that is lost cannot be made again. So it
//! is created once, whole or not at all, and read only if nobody else can.
//!
//! # Not here
//! Whose signature counts: see `core::trust`. TLS with the same key: see `net`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use sleep_core::Crypto;
use sleep_wire::{Digest, NodeId, PublicKey, Signature};

/// The file, within the data directory: 64 hexadecimal digits of the seed, and a line feed.
const FILE: &str = "node.key";

/// A node's own key, and everybody's arithmetic.
#[derive(Clone)]
pub struct Keys {
    signing: SigningKey,
}

impl Keys {
    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { signing: SigningKey::from_bytes(seed) }
    }

    /// The seed: what TLS needs, and what must never be shown.
    pub fn seed(&self) -> [u8; 32] {
        self.signing.to_bytes()
    }

    /// Reads the key in `dir`, or draws one and writes it there, durably, if there is none and what is stored
    /// beside it is nobody's.
    ///
    /// # Errors
    /// [`KeyError`]: then nothing was changed. Also if what is stored there is that of a member, `owner`, and
    /// the key is not that member's: without it nobody is that member, and another would throw its records
    /// away.
    pub fn load_or_create(dir: &Path, owner: Option<NodeId>) -> Result<Self, KeyError> {
        let path = dir.join(FILE);
        let foreign = |found, owner| KeyError::Foreign { path: path.clone(), found, owner };
        match (read(&path), owner) {
            (Err(KeyError::Io { source, .. }), owner) if source.kind() == io::ErrorKind::NotFound => {
                owner.map_or_else(|| Self::replace(dir), |owner| Err(foreign(None, owner)))
            }
            (Ok(keys), Some(owner)) if keys.id() != owner => Err(foreign(Some(keys.id()), owner)),
            (read, _) => read,
        }
    }

    /// The node that has this key.
    pub fn id(&self) -> NodeId {
        self.node_id(&self.public_key())
    }

    /// Draws a key and puts it in the place of the one before, durably: that one is no member's any more, and
    /// removal is final.
    ///
    /// # Errors
    /// [`KeyError`]: then the old key is still there.
    pub fn replace(dir: &Path) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
        let path = dir.join(FILE);
        write(dir, &path, &seed).map_err(|source| KeyError::Io { path, doing: "write", source })?;
        Ok(Self::from_seed(&seed))
    }
}

/// `count` bytes that nobody can guess.
///
/// # Errors
/// [`KeyError::NoRandomness`].
pub fn draw<const COUNT: usize>() -> Result<[u8; COUNT], KeyError> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<Keys, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), doing: "read", source };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    // One byte more than a key has, so that a longer file is told from a key.
    let mut text = Vec::new();
    (&mut file).take(66).read_to_end(&mut text).map_err(io)?;
    let seed = from_hex(text.strip_suffix(b"\n").unwrap_or(&text));
    seed.map(|seed| Keys::from_seed(&seed)).ok_or_else(|| KeyError::NotAKey { path: path.to_owned() })
}

/// Whole or not at all: a file of another name first, which then takes the key's.
fn write(dir: &Path, path: &Path, seed: &[u8; 32]) -> io::Result<()> {
    let new = path.with_extension("key.new");
    // What a crash left behind was never anybody's key.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let digits: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    file.write_all(digits.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(text.chunks(2)) {
        let mut digits = pair.iter().map(|digit| char::from(*digit).to_digit(16));
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(seed)
}

impl Crypto for Keys {
    fn hash(&self, bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    fn public_key(&self) -> PublicKey {
        PublicKey(self.signing.verifying_key().to_bytes())
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.signing.sign(bytes).to_bytes())
    }

    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&key.0).is_ok_and(|key| key.verify_strict(bytes, &signature).is_ok())
    }

    fn token_key(&self, seed: &[u8; 32]) -> PublicKey {
        PublicKey(SigningKey::from_bytes(seed).verifying_key().to_bytes())
    }

    fn sign_with_token(&self, seed: &[u8; 32], bytes: &[u8]) -> Signature {
        Signature(SigningKey::from_bytes(seed).sign(bytes).to_bytes())
    }
}

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// The file cannot be read or written.
    Io {
        /// Which file.
        path: PathBuf,
        /// `read` or `write`.
        doing: &'static str,
        /// In the operating system's words.
        source: io::Error,
    },
    /// Others than its owner may read the file, or write it.
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds something else.
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
    /// What is stored beside it is another member's.
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose key it is, if there is one.
        found: Option<NodeId>,
        /// Whose state is stored.
        owner: NodeId,
    },
    /// The kernel has no randomness.
    NoRandomness(String),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, doing, source } => {
                write!(f, "cannot {doing} the node's key {}: {source}", path.display())
            }
            Self::Exposed { path, mode } => {
                let path = path.display();
                write!(f, "others may use the node's key {path} (mode {mode:03o}): `chmod 600 {path}`")
            }
            Self::NotAKey { path } => {
                write!(f, "{} is not a node's key: 64 hexadecimal digits", path.display())
            }
            Self::Foreign { path, found, owner } => {
                let path = path.display();
                match found {
                    Some(found) => write!(f, "the node's key {path} is that of {found}")?,
                    None => write!(f, "the node's key {path} is gone")?,
                }
                write!(
                    f,
                    ", and the state beside it is that of node {owner}: put its key back, or move the state \
                     away too and join as a new node"
                )
            }
            Self::NoRandomness(problem) => write!(f, "the kernel has no randomness: {problem}"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    #[test]
    fn a_key_is_drawn_once_and_stays() {
        let dir = dir();
        let first = Keys::load_or_create(dir.path(), None).expect("an empty directory takes a key");
        let again = Keys::load_or_create(dir.path(), None).expect("the key is there");
        assert_eq!(first.seed(), again.seed());
        let mode = fs::metadata(dir.path().join(FILE)).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let next = Keys::replace(dir.path()).expect("the directory takes another");
        assert_ne!(next.seed(), first.seed());
        let last = Keys::load_or_create(dir.path(), None).expect("the key is there");
        assert_eq!(last.seed(), next.seed());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_way_out() {
        let dir = dir();
        Keys::load_or_create(dir.path(), None).expect("an empty directory takes a key");
        let path = dir.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is our file");
        let refused = Keys::load_or_create(dir.path(), None).err().expect("it is exposed").to_string();
        let path = path.display();
        assert_eq!(refused, format!("others may use the node's key {path} (mode 640): `chmod 600 {path}`"));
    }

    #[test]
    fn half_a_key_is_no_key_and_is_not_replaced() {
        let dir = dir();
        Keys::load_or_create(dir.path(), None).expect("an empty directory takes a key");
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).expect("the file is there");
        for text in [&whole[..40], b"", &[b'z'; 64], &[&whole[..], b"0"].concat()] {
            fs::write(&path, text).expect("it is our file");
            assert!(
                matches!(Keys::load_or_create(dir.path(), None), Err(KeyError::NotAKey { .. })),
                "{text:?}"
            );
            assert_eq!(fs::read(&path).expect("the file is there"), text);
        }
    }

    /// Another key, or a new one, would make a stranger of a member, and throw away all that it knows.
    #[test]
    fn a_member_s_state_goes_with_its_key_alone() {
        let dir = dir();
        let owner = Keys::load_or_create(dir.path(), None).expect("an empty directory takes a key");
        let path = dir.path().join(FILE);
        let text = fs::read(&path).expect("the file is there");
        let same = Keys::load_or_create(dir.path(), Some(owner.id())).expect("it is the member's");
        assert_eq!(same.seed(), owner.seed());

        let other = Keys::replace(dir.path()).expect("the directory takes another");
        let refused = |found: &str| {
            let refused =
                Keys::load_or_create(dir.path(), Some(owner.id())).err().expect("it is not the member's");
            let (path, owner) = (path.display(), owner.id());
            let way_out = "put its key back, or move the state away too and join as a new node";
            let whole = format!(
                "the node's key {path} is {found}, and the state beside it is that of node {owner}: {way_out}"
            );
            assert_eq!(refused.to_string(), whole);
        };
        refused(&format!("that of {}", other.id()));
        fs::remove_file(&path).expect("it is our file");
        refused("gone");
        assert!(!path.exists());
        fs::write(&path, text).expect("it is our file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is our file");
        Keys::load_or_create(dir.path(), Some(owner.id())).expect("it is the member's again");
    }

    #[test]
    fn what_a_crash_left_behind_is_no_key() {
        let dir = dir();
        fs::write(dir.path().join("node.key.new"), "0123").expect("a free name");
        Keys::load_or_create(dir.path(), None).expect("a key is drawn");
        assert!(!dir.path().join("node.key.new").exists());
    }

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let hex = |text: &str| from_hex(text.as_bytes()).expect("64 digits");
        let keys = Keys::from_seed(&hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(keys.public_key(), PublicKey(public));
        let signature = keys.sign(&[0x72]);
        assert_eq!(
            signature.0[..32],
            hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")
        );
        assert!(keys.verify(&keys.public_key(), &[0x72], &signature));
        assert!(!keys.verify(&keys.public_key(), &[0x73], &signature));
        assert_eq!(keys.token_key(&keys.seed()), keys.public_key());
        assert_eq!(keys.sign_with_token(&keys.seed(), &[0x72]), signature);
    }

    /// A key of small order would verify one signature over everything.
    #[test]
    fn weak_keys_verify_nothing() {
        let keys = Keys::from_seed(&[1; 32]);
        let mut weak = [0; 32];
        weak[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!keys.verify(&PublicKey(weak), b"anything", &Signature(signature)));
        assert!(!keys.verify(&PublicKey([0xff; 32]), b"anything", &Signature(signature)));
    }

    #[test]
    fn hashes_are_sha_256() {
        let empty = Keys::from_seed(&[1; 32]).hash(b"");
        assert_eq!(empty.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
