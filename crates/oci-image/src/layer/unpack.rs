//! Unpacks one layer tar into a directory.

mod attributes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

pub(super) use attributes::descriptor_path;
use attributes::{mark_opaque, timestamps, tolerate_xattr, wanted_xattrs};

use super::header::{Entry, Kind};
use super::reader::{Limits, TarReader};
use super::rooted::{Root, clean, kind_of, name, remove_all};
use super::split::SplitWriter;
use super::{AUFS_PREFIX, OPAQUE_MARKER, WHITEOUT_PREFIX};
use crate::compression::decompress;
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::error::{Context, Error, Result};

/// Copy buffer in bytes.
const BUFFER: usize = 128 * 1024;

/// What whiteouts in the tar become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Devices and attributes for overlayfs: the directory will be a lower layer.
    Overlay,
    /// Ordinary files: the tar is not a layer.
    Plain,
}

/// How a tar is unpacked.
pub struct UnpackOptions {
    /// What whiteouts become.
    pub form: Form,
    /// Limits of the archive.
    pub limits: Limits,
    /// Where to record the tar's frame.
    pub split: Option<SplitWriter>,
    /// A path inside the target below which everything is put; symlinks in it are resolved inside the target.
    pub below: Vec<u8>,
    /// Refuse to replace a directory by something else and the reverse (`noOverwriteDirNonDir`).
    pub keep_kinds: bool,
    /// Owner and group of everything, instead of those in the tar.
    pub owner: Option<(u32, u32)>,
}

impl UnpackOptions {
    /// A layer for overlayfs.
    pub fn layer() -> Self {
        Self {
            form: Form::Overlay,
            limits: Limits::default(),
            split: None,
            below: Vec::new(),
            keep_kinds: false,
            owner: None,
        }
    }

    /// A plain archive.
    pub fn plain() -> Self {
        Self {
            form: Form::Plain,
            ..Self::layer()
        }
    }
}

/// What was unpacked.
pub struct Unpacked {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub tar_size: u64,
    /// Sum of the files' sizes in bytes.
    pub size: u64,
    /// Directories that the tar needed but did not describe; see [`adopt_implied`].
    pub implied: Vec<Vec<u8>>,
    /// The recorded frame.
    pub split: Option<SplitWriter>,
}

/// Unpacks the tar in `reader`, compressed or not, into the existing directory `target`.
pub fn unpack(reader: impl Read, target: &Path, options: UnpackOptions) -> Result<Unpacked> {
    let digested = DigestReader::new(decompress(reader)?, Algorithm::Sha256);
    let mut tar = TarReader::new(digested, options.limits).with_split(options.split);
    let mut unpacker = Unpacker {
        root: Root::open(target)?,
        form: options.form,
        below: clean(&options.below)?
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect(),
        keep_kinds: options.keep_kinds,
        owner: options.owner,
        parent: None,
        directory_times: BTreeMap::new(),
        implied: BTreeSet::new(),
        size: 0,
        buffer: vec![0; BUFFER],
    };
    while let Some(entry) = tar.next_entry()? {
        unpacker.add(&entry, &mut tar)?;
    }
    unpacker.set_directory_times()?;
    let (digested, split) = tar.finish()?;
    let (diff_id, tar_size) = digested.finish().context(|| "read the layer".to_owned())?;
    Ok(Unpacked {
        diff_id,
        tar_size,
        size: unpacker.size,
        implied: unpacker.implied.into_iter().collect(),
        split,
    })
}

struct Unpacker {
    root: Root,
    form: Form,
    below: Vec<Vec<u8>>,
    keep_kinds: bool,
    owner: Option<(u32, u32)>,
    /// The directory of the last entry: tars list a directory's files one after the other.
    parent: Option<(Vec<Vec<u8>>, OwnedFd)>,
    /// Times of directories, set at the end because entries below change them.
    directory_times: BTreeMap<Vec<u8>, (i64, u32)>,
    implied: BTreeSet<Vec<u8>>,
    size: u64,
    buffer: Vec<u8>,
}

impl Unpacker {
    fn add<R: Read>(&mut self, entry: &Entry, tar: &mut TarReader<R>) -> Result<()> {
        let shown = || String::from_utf8_lossy(&entry.path).into_owned();
        let below = self.below.clone();
        let mut parts: Vec<&[u8]> = below.iter().map(Vec::as_slice).collect();
        let own = clean(&entry.path)?;
        let is_root = own.is_empty();
        parts.extend(own);
        let result = match parts.split_last() {
            _ if is_root => self.add_root(entry, &parts),
            Some((last, directory)) => self
                .enter(directory)
                .and_then(|parent| self.place(entry, &parent, directory, last, tar)),
            None => Ok(()),
        };
        result.map_err(|error| match error {
            Error::Io { what, source } => Error::io(format!("unpack {}: {what}", shown()), source),
            other => other,
        })
    }

    /// The tar's `./`: attributes of the target itself.
    fn add_root(&mut self, entry: &Entry, parts: &[&[u8]]) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::invalid(
                "malformed layer: its root is not a directory",
            ));
        }
        if self.form == Form::Plain {
            return Ok(()); // extracting into a directory does not change that directory, as with docker cp
        }
        let directory = self.enter(parts)?;
        self.set_directory_attributes(entry, directory.as_fd())?;
        self.directory_times.insert(parts.join(&b'/'), entry.mtime);
        Ok(())
    }

    /// Opens a directory of the layer, making what is missing.
    fn enter(&mut self, parts: &[&[u8]]) -> Result<OwnedFd> {
        if let Some((known, fd)) = &self.parent
            && known.iter().map(Vec::as_slice).eq(parts.iter().copied())
        {
            return fd
                .try_clone()
                .context(|| "duplicate a directory".to_owned());
        }
        let fd = match self.root.open_dir(parts) {
            Err(Errno::NOENT) => self.make_parents(parts)?,
            result => result.context(|| "open the directory".to_owned())?,
        };
        let copy = fd
            .try_clone()
            .context(|| "duplicate a directory".to_owned())?;
        self.parent = Some((parts.iter().map(|part| part.to_vec()).collect(), copy));
        Ok(fd)
    }

    fn make_parents(&mut self, parts: &[&[u8]]) -> Result<OwnedFd> {
        let what = || "make the directory".to_owned();
        let mut current = self.root.open_dir(&[]).context(what)?;
        for depth in 1..=parts.len() {
            let path = &parts[..depth];
            current = match self.root.open_dir(path) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(
                        &current,
                        name(path[depth - 1]),
                        Mode::from_raw_mode(0o755),
                    )
                    .context(what)?;
                    rustix::fs::chmodat(
                        &current,
                        name(path[depth - 1]),
                        Mode::from_raw_mode(0o755),
                        AtFlags::empty(),
                    )
                    .context(what)?;
                    self.implied.insert(path.join(&b'/'));
                    self.root.open_dir(path)
                }
                result => result,
            }
            .context(what)?;
        }
        Ok(current)
    }

    fn place<R: Read>(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        directory: &[&[u8]],
        last: &[u8],
        tar: &mut TarReader<R>,
    ) -> Result<()> {
        let parent = parent.as_fd();
        if self.form == Form::Overlay && last.starts_with(WHITEOUT_PREFIX.as_bytes()) {
            return self.whiteout(parent, last);
        }
        let existing = kind_of(parent, name(last))?;
        let path = || [directory, &[last]].concat().join(&b'/');
        if let Some(existing) = existing {
            let keep = existing == FileType::Directory && entry.kind == Kind::Directory;
            if !keep {
                self.check_replace(existing, entry)?;
                remove_all(parent, name(last))?;
                self.forget_below(&path());
            }
        }
        match entry.kind {
            Kind::Directory => {
                if existing != Some(FileType::Directory) {
                    rustix::fs::mkdirat(parent, name(last), Mode::from_raw_mode(0o700))
                        .context(|| "make the directory".to_owned())?;
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(parent, name(last), flags, Mode::empty())
                    .context(|| "open the directory".to_owned())?;
                if self.form == Form::Overlay && existing == Some(FileType::CharacterDevice) {
                    mark_opaque(fd.as_fd())?; // the tar deleted the name first: the directory does not merge
                }
                self.set_directory_attributes(entry, fd.as_fd())?;
                self.implied.remove(&path());
                self.directory_times.insert(path(), entry.mtime);
            }
            Kind::File => self.file(entry, parent, last, &path(), tar)?,
            Kind::HardLink => self.hard_link(entry, parent, last)?,
            Kind::Symlink => {
                rustix::fs::symlinkat(name(&entry.link), parent, name(last))
                    .context(|| "symlink".to_owned())?;
                self.set_special_attributes(entry, parent, last)?;
            }
            Kind::CharDevice => self.node(entry, parent, last, FileType::CharacterDevice)?,
            Kind::BlockDevice => self.node(entry, parent, last, FileType::BlockDevice)?,
            Kind::Fifo => self.node(entry, parent, last, FileType::Fifo)?,
        }
        Ok(())
    }

    fn check_replace(&self, existing: FileType, entry: &Entry) -> Result<()> {
        let involves_directory = existing == FileType::Directory || entry.kind == Kind::Directory;
        if !self.keep_kinds || !involves_directory {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&entry.path);
        let (old, new) = match existing {
            FileType::Directory => ("directory", "non-directory"),
            _ => ("non-directory", "directory"),
        };
        Err(Error::invalid(format!(
            "cannot overwrite {old} {shown:?} with {new} {shown:?}"
        )))
    }

    /// A directory was replaced: nothing remembered about what was below it holds any more.
    fn forget_below(&mut self, path: &[u8]) {
        let below = |known: &Vec<u8>| {
            known == path || (known.starts_with(path) && known.get(path.len()) == Some(&b'/'))
        };
        self.parent = None;
        self.directory_times.retain(|known, _| !below(known));
        self.implied.retain(|known| !below(known));
    }

    fn whiteout(&mut self, parent: BorrowedFd<'_>, last: &[u8]) -> Result<()> {
        if last == OPAQUE_MARKER.as_bytes() {
            return mark_opaque(parent);
        }
        if last.starts_with(AUFS_PREFIX.as_bytes()) {
            return Ok(());
        }
        let hidden = &last[WHITEOUT_PREFIX.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::invalid("malformed layer: whiteout without a name"));
        }
        match kind_of(parent, name(hidden))? {
            None => {}
            Some(FileType::Directory) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(parent, name(hidden), flags, Mode::empty())
                    .context(|| "open the directory".to_owned())?;
                return mark_opaque(fd.as_fd());
            }
            Some(_) => return Ok(()), // the layer itself provides the name, which hides what is below
        }
        rustix::fs::mknodat(
            parent,
            name(hidden),
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        )
        .context(|| "make the whiteout".to_owned())
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        last: &[u8],
        path: &[u8],
        tar: &mut TarReader<R>,
    ) -> Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name(last), flags, Mode::from_raw_mode(0o600))
            .context(|| "create the file".to_owned())?;
        let mut file = File::from(fd);
        let what = || "write the file".to_owned();
        if let Some(extents) = &entry.extents {
            file.set_len(entry.size).context(what)?;
            for (offset, length) in extents {
                file.seek(SeekFrom::Start(*offset)).context(what)?;
                self.copy(tar, &mut file, *length)?;
            }
        } else {
            tar.data_is_stored_as(path)?;
            self.copy(tar, &mut file, entry.size)?;
        }
        self.size += entry.size;
        let (uid, gid) = self.owner_of(entry);
        rustix::fs::fchown(&file, Some(uid), Some(gid)).context(|| "set the owner".to_owned())?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode))
            .context(|| "set the mode".to_owned())?;
        for (attribute, value) in wanted_xattrs(entry) {
            let result = rustix::fs::fsetxattr(&file, name(attribute), value, XattrFlags::empty());
            tolerate_xattr(attribute, result)?;
        }
        rustix::fs::futimens(&file, &timestamps(entry.mtime)).context(|| "set the time".to_owned())
    }

    fn copy<R: Read>(
        &mut self,
        tar: &mut TarReader<R>,
        file: &mut File,
        mut left: u64,
    ) -> Result<()> {
        while left > 0 {
            let want = self
                .buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = tar
                .read(&mut self.buffer[..want])
                .context(|| "read the layer".to_owned())?;
            if n == 0 {
                return Err(Error::invalid("malformed tar: file data is cut off"));
            }
            file.write_all(&self.buffer[..n])
                .context(|| "write the file".to_owned())?;
            left -= n as u64;
        }
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, parent: BorrowedFd<'_>, last: &[u8]) -> Result<()> {
        let mut target: Vec<&[u8]> = Vec::new();
        let own = clean(&entry.link)?;
        let below = self.below.clone();
        target.extend(below.iter().map(Vec::as_slice));
        target.extend(own);
        let Some((target_name, target_directory)) = target.split_last() else {
            return Err(Error::invalid("malformed layer: hard link to the root"));
        };
        let what = || format!("link to {}", String::from_utf8_lossy(&entry.link));
        let directory = self.root.open_dir(target_directory).context(what)?;
        rustix::fs::linkat(
            &directory,
            name(target_name),
            parent,
            name(last),
            AtFlags::empty(),
        )
        .context(what)
    }

    fn node(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        last: &[u8],
        kind: FileType,
    ) -> Result<()> {
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        rustix::fs::mknodat(parent, name(last), kind, Mode::from_raw_mode(0o600), device)
            .context(|| "make the node".to_owned())?;
        self.set_special_attributes(entry, parent, last)
    }
}

/// Gives directories that a layer's tar only implied the attributes they have in the layers below.
///
/// Overlayfs shows the attributes of the uppermost directory: without this, a layer that adds `tmp/x` and says nothing
/// about `tmp` would turn `/tmp` into an ordinary directory. `lowers` are the layers below, the nearest first.
pub fn adopt_implied(layer: &Path, implied: &[Vec<u8>], lowers: &[PathBuf]) -> Result<()> {
    if implied.is_empty() {
        return Ok(());
    }
    let root = Root::open(layer)?;
    let lowers = lowers
        .iter()
        .map(|lower| Root::open(lower))
        .collect::<Result<Vec<_>>>()?;
    for path in implied {
        let parts = clean(path)?;
        let what = || format!("adopt {}", String::from_utf8_lossy(path));
        let Some(source) = lowers
            .iter()
            .find_map(|lower| lower.open_dir_plain(&parts).ok())
        else {
            continue;
        };
        let stat = rustix::fs::fstat(&source).context(what)?;
        let target = match root.open_dir_plain(&parts) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            result => result.context(what)?,
        };
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::fchown(&target, Some(owner.0), Some(owner.1)).context(what)?;
        rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777)).context(what)?;
        let mtime = (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        );
        rustix::fs::futimens(&target, &timestamps(mtime)).context(what)?;
    }
    Ok(())
}
