//! Keys of WireGuard.

use std::fmt;

/// Bytes of a key (`WG_KEY_LEN`).
pub const KEY_BYTES: usize = 32;

/// A key, public or private. Its `Debug` shows nothing of it, so that no private one gets into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// A key of these bytes; none when they are not 32, or all zeros, which stand for no key.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
        (bytes != [0; KEY_BYTES]).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(...)")
    }
}
