//! Signatures over a version's manifest, in minisign's form: who has the tool `minisign` needs nothing of ours.
//!
//! The library puts chance into each signature, against attacks on the signing machine. So the layer of signatures is the only
//! one in which two builds of the same sources differ.

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use minisign::{KeyPair, SecretKey, SecretKeyBox};

use crate::progress;

/// Where a password comes from when nobody can type it; empty for a key without one.
const PASSWORD: &str = "MINISIGN_PASSWORD";

/// Signs `manifest` with each of the keys; the signatures one behind the other, empty without a key.
pub(super) fn sign(manifest: &[u8], version: &str, keys: &[PathBuf]) -> Result<String> {
    let mut signatures = String::new();
    for path in keys {
        let key = secret_key(path)?;
        let trusted = format!("RancherOS v{version}");
        let signature = minisign::sign(
            None,
            &key,
            Cursor::new(manifest),
            Some(&trusted),
            Some("signature of rancheros/manifest.json"),
        )
        .with_context(|| format!("sign with {}", path.display()))?;
        signatures.push_str(signature.into_string().trim_end());
        signatures.push('\n');
    }
    Ok(signatures)
}

fn secret_key(path: &Path) -> Result<SecretKey> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let context = || format!("{} is not a minisign secret key", path.display());
    let key = SecretKeyBox::from_string(&text).with_context(context)?;
    if let Ok(key) = SecretKey::from_unencrypted_box(key.clone()) {
        return Ok(key);
    }
    SecretKey::from_box(key, std::env::var(PASSWORD).ok())
        .with_context(|| format!("open {}: wrong password", path.display()))
}

/// Makes a key pair: `path`, which only its owner may read, and `path.pub`.
pub(super) fn new_key(path: &Path) -> Result<()> {
    let public = PathBuf::from(format!("{}.pub", path.display()));
    for path in [path, &public] {
        ensure!(!path.exists(), "{} is there already", path.display());
    }
    let pair = KeyPair::generate_unencrypted_keypair().context("make a key pair")?;
    let secret = pair.sk.to_box(None).context("write the secret key")?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    file.write_all(secret.into_string().as_bytes())
        .with_context(|| format!("write {}", path.display()))?;
    let text = pair
        .pk
        .to_box()
        .context("write the public key")?
        .into_string();
    fs::write(&public, text).with_context(|| format!("write {}", public.display()))?;
    progress::note(
        "os-image",
        &format!("{} and {}", path.display(), public.display()),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_verified_by_another_implementation() {
        let folder = tempfile::tempdir().unwrap();
        let keys = ["one", "other"].map(|name| folder.path().join(name));
        for key in &keys {
            new_key(key).unwrap();
        }
        assert!(new_key(&keys[0]).is_err());
        let signatures = sign(b"manifest", "1.0", &keys).unwrap();
        let lines: Vec<&str> = signatures.lines().collect();
        assert_eq!(lines.len(), 8);
        for (lines, key) in lines.chunks(4).zip(&keys) {
            let public = fs::read_to_string(format!("{}.pub", key.display())).unwrap();
            let public = minisign_verify::PublicKey::decode(&public).unwrap();
            let signature = minisign_verify::Signature::decode(&lines.join("\n")).unwrap();
            public.verify(b"manifest", &signature, false).unwrap();
            assert!(public.verify(b"manifesT", &signature, false).is_err());
            assert_eq!(signature.trusted_comment(), "RancherOS v1.0");
        }
        assert_eq!(sign(b"x", "1.0", &[]).unwrap(), "");
    }
}
