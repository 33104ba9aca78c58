//! Packs a tree into a layer: a deterministic tar, its gzip blob for the OCI image, and its squashfs for mounting.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;
use flate2::{Compression, GzBuilder};
use oci_image::digest::{Digest, DigestWriter};
use serde::{Deserialize, Serialize};

use super::declaration::Compression as Squash;
use super::tree::{Entry, Kind, Tree};
use crate::cache;
use crate::workspace::Build;

/// How every squashfs is packed.
const SQUASHFS_OPTIONS: [&str; 2] = ["-no-xattrs", "-no-progress"];

/// How squashfs compresses.
fn compressor(compression: Squash) -> &'static [&'static str] {
    match compression {
        Squash::Zstd => &["-comp", "zstd", "-Xcompression-level", "19", "-b", "128K"],
        Squash::Lz4 => &["-comp", "lz4", "-Xhc", "-b", "128K"],
        // The kernel keeps a buffer of a block for each processor and each such file system that is mounted
        Squash::Xz => &["-comp", "xz", "-Xdict-size", "100%", "-b", "256K"],
    }
}

/// A packed layer in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// Digest of the uncompressed tar.
    pub(crate) diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub(crate) tar_size: u64,
    /// Digest of the gzip blob.
    pub(crate) blob_digest: Digest,
    /// Size of the gzip blob in bytes.
    pub(crate) blob_size: u64,
    /// SHA-256 of the squashfs.
    pub(crate) squashfs_sha256: String,
    /// Size of the squashfs in bytes.
    pub(crate) squashfs_size: u64,
}

impl Layer {
    /// The gzip blob.
    pub(crate) fn blob(&self) -> Result<PathBuf> {
        Ok(cache::dir("layers")?.join(format!("{}.tar.gz", self.diff_id.hex())))
    }

    /// The squashfs.
    pub(crate) fn squashfs(&self) -> Result<PathBuf> {
        Ok(cache::dir("layers")?.join(format!("{}.squashfs", self.squashfs_sha256)))
    }
}

/// The layer that was packed from inputs with this key, if its files are still whole.
pub(crate) fn cached(key: &str) -> Result<Option<Layer>> {
    let record = cache::dir("layers")?.join(format!("{key}.json"));
    let Ok(bytes) = fs::read(record) else {
        return Ok(None);
    };
    let Ok(layer) = serde_json::from_slice::<Layer>(&bytes) else {
        return Ok(None);
    };
    let whole = cache::verify(&layer.blob()?, layer.blob_digest.hex()).is_ok()
        && cache::verify(&layer.squashfs()?, &layer.squashfs_sha256).is_ok();
    Ok(whole.then_some(layer))
}

/// What packing depends on besides the tree.
pub(crate) fn packer(compression: Squash) -> Result<String> {
    let version = cmd!("mksquashfs", "-version")
        .stdout_capture()
        .stderr_to_stdout()
        .unchecked()
        .run();
    let version = version
        .context("run mksquashfs (package squashfs-tools 4.5 or later, cargo xtask setup)")?;
    let first = String::from_utf8_lossy(&version.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let (compressor, options) = (
        compressor(compression).join(" "),
        SQUASHFS_OPTIONS.join(" "),
    );
    Ok(format!("{first} {compressor} {options}"))
}

/// Packs a tree and remembers it under `key`.
pub(crate) fn pack(
    build: &Build,
    name: &str,
    compression: Squash,
    tree: &Tree,
    key: &str,
) -> Result<Layer> {
    let folder = build.scratch().join("layers");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let tar = folder.join(format!("{name}.tar"));
    let epoch = build.epoch()?;
    let file = fs::File::create(&tar).with_context(|| format!("create {}", tar.display()))?;
    let mut writer = DigestWriter::new(BufWriter::new(file));
    write_tar(tree, epoch, &mut writer).with_context(|| format!("write {}", tar.display()))?;
    let (diff_id, tar_size, mut inner) = writer.finish();
    inner
        .flush()
        .with_context(|| format!("write {}", tar.display()))?;
    drop(inner);
    let (blob, squashfs) = std::thread::scope(|scope| {
        let blob = scope.spawn(|| gzip(&tar, &diff_id));
        let squashfs = squash(&tar, compression, epoch);
        (blob.join(), squashfs)
    });
    let Ok(blob) = blob else {
        bail!("the thread that compresses {name} died");
    };
    let ((blob_digest, blob_size), (squashfs_sha256, squashfs_size)) = (blob?, squashfs?);
    fs::remove_file(&tar).ok();
    let layer = Layer {
        diff_id,
        tar_size,
        blob_digest,
        blob_size,
        squashfs_sha256,
        squashfs_size,
    };
    let record = cache::dir("layers")?.join(format!("{key}.json"));
    cache::write(
        &record,
        &serde_json::to_vec(&layer).context("describe a layer")?,
    )?;
    Ok(layer)
}

/// Writes a tree as tar: sorted, with one time for all.
pub(crate) fn write_tar(tree: &Tree, epoch: u64, writer: impl Write) -> Result<()> {
    let mut tar = tar::Builder::new(writer);
    for (path, entry) in tree.iter() {
        append(&mut tar, path, entry, epoch).with_context(|| format!("pack /{path}"))?;
    }
    tar.into_inner()
        .context("end the archive")?
        .flush()
        .context("end the archive")
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, entry: &Entry, epoch: u64) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(epoch);
    header.set_uid(entry.user.into());
    header.set_gid(entry.group.into());
    header.set_mode(entry.mode);
    header.set_size(0);
    match &entry.kind {
        Kind::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Kind::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, target)?;
        }
        Kind::File(content) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, &content[..])?;
        }
    }
    Ok(())
}

fn gzip(tar: &Path, diff_id: &Digest) -> Result<(Digest, u64)> {
    let target = cache::dir("layers")?.join(format!("{}.tar.gz", diff_id.hex()));
    let pending = DigestWriter::new(cache::Pending::create(&target)?);
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(pending, Compression::new(6));
    let mut source = fs::File::open(tar).with_context(|| format!("open {}", tar.display()))?;
    std::io::copy(&mut source, &mut encoder)
        .with_context(|| format!("compress {}", tar.display()))?;
    let (digest, size, pending) = encoder.finish().context("end the gzip blob")?.finish();
    pending.commit()?;
    Ok((digest, size))
}

/// Packs a tar as squashfs; returns its SHA-256 and size.
fn squash(tar: &Path, compression: Squash, epoch: u64) -> Result<(String, u64)> {
    let image = tar.with_extension("squashfs");
    fs::remove_file(&image).ok();
    let (epoch, path) = (epoch.to_string(), image.to_string_lossy().into_owned());
    // Not sqfstar: that of squashfs-tools 4.5 misreads the compression level
    let mut arguments = vec![
        "-",
        &path,
        "-tar",
        "-mkfs-time",
        &epoch,
        "-all-time",
        &epoch,
    ];
    arguments.extend([
        "-root-mode",
        "0755",
        "-root-uid",
        "0",
        "-root-gid",
        "0",
        "-quiet",
    ]);
    arguments.extend(compressor(compression));
    arguments.extend(SQUASHFS_OPTIONS);
    let outcome = cmd("mksquashfs", &arguments)
        .stdin_path(tar)
        .env_remove("SOURCE_DATE_EPOCH") // the options above say it, and both together are refused
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .context("run mksquashfs (package squashfs-tools 4.5 or later, cargo xtask setup)")?;
    if !outcome.status.success() {
        let text = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
        bail!("mksquashfs could not pack {}: {text}", tar.display());
    }
    let sha256 = cache::sha256_file(&image)?;
    let size = fs::metadata(&image)
        .with_context(|| format!("stat {}", image.display()))?
        .len();
    let target = cache::dir("layers")?.join(format!("{sha256}.squashfs"));
    cache::place(&image, &target)?;
    fs::remove_file(&image).ok();
    Ok((sha256, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(reverse: bool) -> Tree {
        let mut names = vec![
            "usr/bin/a".to_owned(),
            "etc/b".to_owned(),
            format!("usr/share/{}", "long/".repeat(40)),
        ];
        if reverse {
            names.reverse();
        }
        let mut tree = Tree::default();
        for name in &names {
            tree.insert(&format!("{name}x"), Entry::file(name.as_bytes(), 0o4755))
                .unwrap();
        }
        tree.insert("usr/bin/l", Entry::link("a")).unwrap();
        tree
    }

    fn bytes(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_tar(tree, 1, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_order_of_insertion_does_not_matter() {
        assert_eq!(bytes(&tree(false)), bytes(&tree(true)));
    }

    #[test]
    fn attributes_survive() {
        let bytes = bytes(&tree(false));
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = 0;
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 1);
            assert_eq!(entry.header().uid().unwrap(), 0);
            if entry.header().entry_type().is_file() {
                assert_eq!(entry.header().mode().unwrap(), 0o4755);
                seen += 1;
            }
        }
        assert_eq!(seen, 3);
    }
}
