//! What a request is found by, and the form in which its answer is kept.
//!
//! An answer is kept sealed: the key of the cipher is made of the very bytes of the request, and is not kept. So neither memory nor files
//! hold anything of a person that could be read without the request, files need not be searched when somebody is erased, and nobody but
//! who asked before is answered. The hash of the key is no secret and protects from nothing but chance.

use bytes::{BufMut, Bytes, BytesMut};
use cauce_features::time::Timestamp;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

const VERSION: u8 = 1;
const FINGERPRINT_BYTES: usize = 16;

/// What names a request: an `Idempotency-Key`, or an application of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub(super) u128);

/// A request as it asks: its key, and what tells whether it is the same request.
#[derive(Clone)]
pub struct Asked {
    pub(super) key: u128,
    fingerprint: [u8; FINGERPRINT_BYTES],
    secret: [u8; 32],
}

/// An answer that was given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub status: u16,
    pub body: Bytes,
}

impl Key {
    /// The key that a client gave with a request to a route.
    pub fn given(route: &str, key: &str) -> Self {
        Self(hash(b'k', &[route, key]))
    }

    /// The application of a person, where its id was given.
    pub fn application(route: &str, person: &str, id: &str) -> Self {
        Self(hash(b'a', &[route, person, id]))
    }

    /// Where it is noted that a person was erased.
    pub(super) fn erased(person: &str) -> u128 {
        hash(b'e', &[person])
    }
}

/// Each part with its length, so that no two lists of parts are the same bytes.
fn hash(namespace: u8, parts: &[&str]) -> u128 {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(namespace);
    for part in parts {
        bytes.put_u32_le(part.len() as u32);
        bytes.extend_from_slice(part.as_bytes());
    }
    xxh3_128(&bytes)
}

impl Asked {
    /// A request with this key and body. `variant` is whatever else of it changes the answer.
    pub fn new(key: Key, body: &[u8], variant: &str) -> Self {
        let content = Sha256::new().chain_update((variant.len() as u64).to_le_bytes()).chain_update(variant);
        let content = content.chain_update(body).finalize();
        let derive = |of: &[u8]| Sha256::new().chain_update(of).chain_update(content).finalize();
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&derive(b"fingerprint")[..FINGERPRINT_BYTES]);
        let secret = Sha256::new().chain_update(b"secret").chain_update(key.0.to_le_bytes()).chain_update(content);
        Self { key: key.0, fingerprint, secret: secret.finalize().into() }
    }

    /// An answer to it in the form in which it is kept. One instant is never used for two answers of a request.
    pub(super) fn seal(&self, answer: &Stored, at: Timestamp) -> Bytes {
        let mut bytes = BytesMut::with_capacity(1 + FINGERPRINT_BYTES + 2 + answer.body.len());
        bytes.put_u8(VERSION);
        bytes.put_slice(&self.fingerprint);
        bytes.put_u16_le(answer.status);
        bytes.put_slice(&answer.body);
        self.cipher(at).apply_keystream(&mut bytes[1 + FINGERPRINT_BYTES..]);
        bytes.freeze()
    }

    /// What is kept under its key, opened if it is an answer to this request.
    pub(super) fn open(&self, kept: &[u8], at: Timestamp) -> Opened {
        let Some((&VERSION, rest)) = kept.split_first() else { return Opened::Unknown };
        let Some((fingerprint, sealed)) = rest.split_first_chunk::<FINGERPRINT_BYTES>() else { return Opened::Unknown };
        if *fingerprint != self.fingerprint {
            return Opened::OtherRequest;
        }
        let mut bytes = BytesMut::from(sealed);
        self.cipher(at).apply_keystream(&mut bytes);
        if bytes.len() < 2 {
            return Opened::Unknown;
        }
        let status = bytes.split_to(2);
        Opened::Answer(Stored { status: u16::from_le_bytes([status[0], status[1]]), body: bytes.freeze() })
    }

    fn cipher(&self, at: Timestamp) -> ChaCha20 {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&at.millis().to_le_bytes());
        ChaCha20::new(&self.secret.into(), &nonce.into())
    }
}

/// What an entry is to a request with its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    Answer(Stored),
    OtherRequest,
    /// Of another version: as good as none.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_768_485_600_000);

    fn answer() -> Stored {
        Stored { status: 200, body: Bytes::from_static(b"{\"person_id\":\"c-1\"}") }
    }

    #[test]
    fn no_two_ways_to_name_a_request_are_the_same_key() {
        let keys = [
            Key::given("/a", "bc"),
            Key::given("/ab", "c"),
            Key::application("/a", "b", "c"),
            Key::application("/a", "bc", ""),
            Key::application("/a", "", "bc"),
            Key::given("/a", "c-1"),
        ];
        for (position, key) in keys.iter().enumerate() {
            assert!(!keys[..position].contains(key), "{position}");
        }
    }

    #[test]
    fn only_the_same_request_opens_an_answer_and_nothing_of_it_is_readable() {
        let asked = Asked::new(Key::given("/a", "k"), b"body", "");
        let kept = asked.seal(&answer(), AT);
        assert!(!kept.windows(3).any(|bytes| bytes == b"c-1"));
        assert_eq!(asked.open(&kept, AT), Opened::Answer(answer()));
        for (body, variant) in [(&b"other"[..], ""), (b"body", "vector"), (b"", "body")] {
            assert_eq!(Asked::new(Key::given("/a", "k"), body, variant).open(&kept, AT), Opened::OtherRequest);
        }
        assert_eq!(asked.open(&[2, 0, 0], AT), Opened::Unknown);
        assert_eq!(asked.open(&[], AT), Opened::Unknown);
    }
}
