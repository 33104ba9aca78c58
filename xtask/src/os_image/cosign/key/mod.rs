//! Keys that cosign takes: ECDSA on P-256, in PEM as openssl writes them, or encrypted as `cosign generate-key-pair` does.
//!
//! The TLS library's cryptography signs: it is here already.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key as BoxKey, Nonce, XSalsa20Poly1305};
use rustls::SignatureScheme;
use rustls::crypto::ring::{default_provider, sign::any_ecdsa_type};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use serde::Deserialize;

/// ECDSA with SHA-256 on P-256; a signature is in ASN.1's DER (RFC 3279, 2.2.3).
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
/// Bytes of a public key on P-256 that is not compressed (SEC 1, 2.3.3).
const POINT: usize = 65;
/// Names of cosign's encrypted keys in PEM: since its version 2, and before.
const ENCRYPTED: [&str; 2] = [
    "ENCRYPTED SIGSTORE PRIVATE KEY",
    "ENCRYPTED COSIGN PRIVATE KEY",
];
/// cosign's own variable for the password of such a key.
const PASSWORD: &str = "COSIGN_PASSWORD";
/// The most memory that opening a key may take, in bytes; cosign's keys take 64 MiB.
const MOST_MEMORY: u64 = 1 << 30;

/// A secret key.
pub(in crate::os_image) struct Key {
    path: PathBuf,
    key: Arc<dyn SigningKey>,
}

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// When the file is not such a key, or its password is missing or wrong.
    pub(in crate::os_image) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let password = std::env::var(PASSWORD).ok();
        let key =
            parse(&text, password).with_context(|| format!("read the key {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            key,
        })
    }

    /// The file that it came from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A signature over a message.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signer = self.key.choose_scheme(&[SCHEME]);
        let signed = signer.context("not a key on P-256")?.sign(message);
        signed.with_context(|| format!("sign with {}", self.path.display()))
    }

    /// Whether this key has made a signature over a message.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some(public) = self.key.public_key() else {
            return false;
        };
        let known = default_provider().signature_verification_algorithms;
        let mut schemes = known.mapping.iter();
        let algorithm = schemes
            .find(|(scheme, _)| *scheme == SCHEME)
            .and_then(|(_, algorithms)| algorithms.first());
        // The point is the last part of the public key (RFC 5480, 2)
        let point = public.as_ref().last_chunk::<POINT>();
        algorithm.zip(point).is_some_and(|(algorithm, point)| {
            let verified = algorithm.verify_signature(point, message, signature);
            verified.is_ok()
        })
    }
}

fn parse(text: &str, password: Option<String>) -> Result<Arc<dyn SigningKey>> {
    ensure!(
        !text.contains("BEGIN ENCRYPTED PRIVATE KEY"),
        "it is encrypted in another form than cosign's: `openssl pkey -in FILE -out PLAIN` writes one that is not"
    );
    let sealed = ENCRYPTED.iter().find_map(|name| body(text, name));
    let der = match sealed {
        Some(sealed) => {
            let password =
                password.with_context(|| format!("its password is expected in {PASSWORD}"))?;
            let opened = unseal(&sealed, password.as_bytes())?;
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(opened))
        }
        None => PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| anyhow::anyhow!("no private key in PEM: {error}"))?,
    };
    let key = any_ecdsa_type(&der)
        .ok()
        .filter(|key| key.choose_scheme(&[SCHEME]).is_some());
    key.context("not an ECDSA key on P-256")
}

/// The base64 of a PEM document's section.
fn body(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {name}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {name}-----"))?;
    Some(body.split_whitespace().collect())
}

/// How cosign encrypts: a key made of the password by scrypt opens a box of NaCl's, in which the key is as PKCS#8.
/// Source: package `encrypted` of secure-systems-lab/go-securesystemslib.
#[derive(Deserialize)]
struct Sealed {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Derivation {
    name: String,
    params: Cost,
    salt: String,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

fn unseal(base64: &str, password: &[u8]) -> Result<Vec<u8>> {
    let json = STANDARD.decode(base64).context("decode it")?;
    let sealed: Sealed = serde_json::from_slice(&json).context("parse it")?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        bail!(
            "it is encrypted with {} and {}, which are not known",
            sealed.kdf.name,
            sealed.cipher.name
        );
    }
    let Cost { n, r, p } = sealed.kdf.params;
    let memory = n.saturating_mul(u64::from(r)).saturating_mul(128);
    ensure!(
        n.is_power_of_two() && memory <= MOST_MEMORY && p <= 16,
        "its scrypt parameters N={n}, r={r}, p={p} are out of range"
    );
    let log = u8::try_from(n.ilog2())?;
    let mut key = BoxKey::default();
    let params = scrypt::Params::new(log, r, p, key.len());
    let params = params
        .ok()
        .context("its scrypt parameters are out of range")?;
    let salt = STANDARD.decode(&sealed.kdf.salt).context("its salt")?;
    let derived = scrypt::scrypt(password, &salt, &params, &mut key);
    derived.ok().context("its key has no length")?;
    let nonce = STANDARD.decode(&sealed.cipher.nonce).context("its nonce")?;
    ensure!(
        nonce.len() == Nonce::default().len(),
        "its nonce is not one"
    );
    let content = STANDARD
        .decode(&sealed.ciphertext)
        .context("its ciphertext")?;
    XSalsa20Poly1305::new(&key)
        .decrypt(Nonce::from_slice(&nonce), content.as_slice())
        .map_err(|_| anyhow::anyhow!("wrong password"))
}

#[cfg(test)]
mod tests;
