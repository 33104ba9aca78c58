//! Content digests (`sha256:<hex>`), and readers and writers that compute them while bytes pass.
//!
//! Source: OCI image-spec, descriptor.md, "Digests".

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, Result};

/// Digest algorithms that the image-spec registers and this crate verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the one everybody uses.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A content digest; its text form is `algorithm:lowercase-hex`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// A SHA-256 digest from its 64 lower-case hexadecimal characters.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_sha256_hex(hex: &str) -> Result<Self> {
        format!("sha256:{hex}").parse()
    }

    /// The hexadecimal part, safe to use as a file name.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The algorithm's name, safe to use as a file name.
    pub fn algorithm_name(&self) -> &'static str {
        self.algorithm.name()
    }

    /// An error unless `actual` is this digest.
    ///
    /// # Errors
    /// When they differ.
    pub fn check(&self, actual: &Digest) -> Result<()> {
        if self == actual {
            return Ok(());
        }
        Err(Error::DigestMismatch {
            expected: self.to_string(),
            actual: actual.to_string(),
        })
    }

    /// An error unless `bytes` have this digest.
    ///
    /// # Errors
    /// When they have another one.
    pub fn check_bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut hasher = Hasher::new(self.algorithm);
        hasher.update(bytes);
        self.check(&hasher.finish())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::invalid(format!("invalid checksum digest format: {text:.200?}"));
        let (algorithm, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = match algorithm {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => {
                return Err(Error::invalid(format!(
                    "unsupported digest algorithm: {algorithm:.40?}"
                )));
            }
        };
        let hex_ok = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() != algorithm.hex_len() || !hex_ok {
            return Err(invalid());
        }
        Ok(Self {
            algorithm,
            hex: hex.to_owned(),
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Incremental digest.
#[derive(Clone)]
pub struct Hasher {
    inner: HasherKind,
    bytes: u64,
}

#[derive(Clone)]
enum HasherKind {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Starts a digest.
    pub fn new(algorithm: Algorithm) -> Self {
        let inner = match algorithm {
            Algorithm::Sha256 => HasherKind::Sha256(Sha256::new()),
            Algorithm::Sha512 => HasherKind::Sha512(Box::default()),
        };
        Self { inner, bytes: 0 }
    }

    /// Starts a SHA-256 digest.
    pub fn sha256() -> Self {
        Self::new(Algorithm::Sha256)
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        match &mut self.inner {
            HasherKind::Sha256(hasher) => hasher.update(bytes),
            HasherKind::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Bytes added so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.inner {
            HasherKind::Sha256(hasher) => (Algorithm::Sha256, to_hex(&hasher.finalize())),
            HasherKind::Sha512(hasher) => (Algorithm::Sha512, to_hex(&hasher.finalize())),
        };
        Digest { algorithm, hex }
    }
}

/// Lower-case hexadecimal of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}

/// A reader that digests what is read through it.
pub struct DigestReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> DigestReader<R> {
    /// Reads from `inner` and digests with `algorithm`.
    pub fn new(inner: R, algorithm: Algorithm) -> Self {
        Self {
            inner,
            hasher: Hasher::new(algorithm),
        }
    }

    /// Reads what is left, then returns the digest and the number of bytes.
    ///
    /// # Errors
    /// What reading fails with.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        let bytes = self.hasher.bytes();
        Ok((self.hasher.finish(), bytes))
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// A writer that digests what is written through it.
pub struct DigestWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> DigestWriter<W> {
    /// Writes to `inner` and digests with SHA-256.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Hasher::sha256(),
        }
    }

    /// The digest, the number of bytes and the inner writer.
    pub fn finish(self) -> (Digest, u64, W) {
        let bytes = self.hasher.bytes();
        (self.hasher.finish(), bytes, self.inner)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digest_of_nothing() {
        assert_eq!(
            Digest::sha256(b"").to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn malformed_digests_are_refused() {
        let hex = "a".repeat(64);
        for bad in [
            String::new(),
            hex.clone(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}a"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}/../etc", &hex[..57]),
            format!("md5:{hex}"),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn reader_digests_to_the_end() {
        let reader = DigestReader::new(&b"hello"[..], Algorithm::Sha256);
        let (digest, bytes) = reader.finish().unwrap();
        assert_eq!((digest, bytes), (Digest::sha256(b"hello"), 5));
    }
}
