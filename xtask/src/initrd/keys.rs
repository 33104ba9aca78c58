//! The public keys that machines take new versions by: all `*.pub` of `rootfs/keys`.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace::Build;

/// All keys in the form of minisign's files, one behind the other, in the order of the files' names.
pub(super) fn all(build: &Build) -> Result<String> {
    let folder = build.root.join("rootfs/keys");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry
            .with_context(|| format!("list {}", folder.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut keys = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        if minisign::PublicKeyBox::from_string(&text)
            .and_then(minisign::PublicKeyBox::into_public_key)
            .is_err()
        {
            bail!("{} is not a public key of minisign", path.display());
        }
        keys.push_str(text.trim());
        keys.push('\n');
    }
    Ok(keys)
}
