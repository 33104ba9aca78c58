//! The cache shared by all clones on this machine, and the stamps that let a step be skipped.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::workspace::Build;

/// `${XDG_CACHE_HOME:-~/.cache}/rancheros/<kind>`, made if missing.
pub(crate) fn dir(kind: &str) -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(
            std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?,
        )
        .join(".cache"),
    };
    let path = base.join("rancheros").join(kind);
    fs::create_dir_all(&path).with_context(|| format!("create cache folder {}", path.display()))?;
    Ok(path)
}

/// A file that appears under its name only when it is complete: written next to it, synced, renamed.
pub(crate) struct Pending {
    file: fs::File,
    temporary: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Pending {
    /// Starts writing what will become `target`.
    pub(crate) fn create(target: &Path) -> Result<Self> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("create folder {}", parent.display()))?;
        }
        let temporary = next_to(target);
        let file = fs::File::create(&temporary)
            .with_context(|| format!("create {}", temporary.display()))?;
        Ok(Self {
            file,
            temporary,
            target: target.to_path_buf(),
            kept: false,
        })
    }

    /// Where the bytes are until [`Pending::commit`].
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the file its name.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.file
            .sync_all()
            .with_context(|| format!("sync {}", self.temporary.display()))?;
        fs::rename(&self.temporary, &self.target).with_context(|| {
            format!(
                "rename {} to {}",
                self.temporary.display(),
                self.target.display()
            )
        })?;
        self.kept = true;
        Ok(())
    }
}

impl Write for Pending {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: a leftover has a name nobody reads.
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// A name in the same folder that no other process uses.
fn next_to(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

/// Writes `bytes` to `target` in one piece; leaves the file alone if it has them already.
pub(crate) fn write(target: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(target).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let mut pending = Pending::create(target)?;
    pending
        .write_all(bytes)
        .with_context(|| format!("write {}", target.display()))?;
    pending.commit()
}

/// Puts the content of `source` under the name `target`: a hard link, or a copy on another file system.
pub(crate) fn place(source: &Path, target: &Path) -> Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("create folder {}", parent.display()))?;
    }
    let temporary = next_to(target);
    fs::remove_file(&temporary).ok();
    if fs::hard_link(source, &temporary).is_err() {
        fs::copy(source, &temporary)
            .with_context(|| format!("copy {} to {}", source.display(), temporary.display()))?;
    }
    fs::rename(&temporary, target).with_context(|| format!("rename to {}", target.display()))?;
    // rename(2) does nothing when both names are already the same file
    fs::remove_file(&temporary).ok();
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256_file(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; COPY_BUFFER];
    loop {
        let read = file
            .read(&mut buffer)
            .with_context(|| format!("read {}", path.display()))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Buffer of a copy loop: bytes, enough that system calls do not matter.
pub(crate) const COPY_BUFFER: usize = 256 * 1024;

/// Collects what a step depends on into one key.
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// The key of a step called `step`; a change of `STEP_FORMAT` makes every step run again.
    pub(crate) fn new(step: &str) -> Self {
        let mut inputs = Self(Sha256::new());
        inputs.text("format", STEP_FORMAT);
        inputs.text("step", step);
        inputs
    }

    /// Adds a named text.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.bytes(name, value.as_bytes())
    }

    /// Adds named bytes; lengths are part of the key so that no two lists collide.
    pub(crate) fn bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.0
            .update(format!("{}:{}:{name}:", name.len(), value.len()));
        self.0.update(value);
        self
    }

    /// Adds a file's content.
    pub(crate) fn file(&mut self, path: &Path) -> Result<&mut Self> {
        let digest = sha256_file(path)?;
        Ok(self.text(
            &path.file_name().unwrap_or_default().to_string_lossy(),
            &digest,
        ))
    }

    /// Adds a folder: names, modes and contents of everything below it.
    pub(crate) fn tree(&mut self, path: &Path) -> Result<&mut Self> {
        use std::os::unix::fs::PermissionsExt;
        let mut names = walk(path)?;
        names.sort();
        for name in names {
            let full = path.join(&name);
            let kind =
                fs::symlink_metadata(&full).with_context(|| format!("stat {}", full.display()))?;
            self.text("path", &name.to_string_lossy());
            if kind.is_symlink() {
                let link = fs::read_link(&full)
                    .with_context(|| format!("read link {}", full.display()))?;
                self.text("link", &link.to_string_lossy());
            } else if kind.is_file() {
                self.text("mode", &format!("{:o}", kind.permissions().mode() & 0o111));
                self.text("content", &sha256_file(&full)?);
            }
        }
        Ok(self)
    }

    /// The key, in hexadecimal.
    pub(crate) fn key(&self) -> String {
        hex(&self.0.clone().finalize())
    }
}

/// Raised when the meaning of stamps or cached artifacts changes.
const STEP_FORMAT: &str = "1";

/// Every path below `root`, relative to it.
pub(crate) fn walk(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let full = root.join(&folder);
        for entry in fs::read_dir(&full).with_context(|| format!("list {}", full.display()))? {
            let entry = entry.with_context(|| format!("list {}", full.display()))?;
            let path = folder.join(entry.file_name());
            if entry
                .file_type()
                .with_context(|| format!("stat {}", path.display()))?
                .is_dir()
            {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether step `name` was done with the inputs `key` and all its `outputs` are still there.
pub(crate) fn is_done(build: &Build, name: &str, key: &str, outputs: &[PathBuf]) -> bool {
    let stamp = fs::read_to_string(stamp(build, name)).unwrap_or_default();
    stamp == key && outputs.iter().all(|path| path.exists())
}

/// Records that step `name` was done with the inputs `key`.
pub(crate) fn mark_done(build: &Build, name: &str, key: &str) -> Result<()> {
    write(&stamp(build, name), key.as_bytes())
}

fn stamp(build: &Build, name: &str) -> PathBuf {
    build.scratch().join("stamps").join(name)
}

/// Fails unless `path` has the SHA-256 `expected`.
pub(crate) fn verify(path: &Path, expected: &str) -> Result<()> {
    let found = sha256_file(path)?;
    if found != expected {
        bail!("{} has sha256 {found}, expected {expected}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_do_not_collide_when_text_moves_between_fields() {
        let mut one = Inputs::new("s");
        one.text("a", "bc");
        let mut two = Inputs::new("s");
        two.text("ab", "c");
        assert_ne!(one.key(), two.key());
    }

    #[test]
    fn pending_file_leaves_nothing_when_dropped() {
        let folder = std::env::temp_dir().join(format!("xtask-pending-{}", std::process::id()));
        let target = folder.join("artifact");
        drop(Pending::create(&target).unwrap());
        assert!(!target.exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn sha256_is_the_published_value() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
