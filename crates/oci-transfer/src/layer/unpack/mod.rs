//! Unpacks one layer tar into a directory.

mod attributes;
mod entries;
mod implied;
mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

pub(super) use attributes::descriptor_path;
use attributes::mark_opaque;
pub use implied::adopt_implied;
pub use options::{Form, UnpackOptions, Unpacked};

use super::WHITEOUT_PREFIX;
use super::header::{Entry, Kind};
use super::reader::TarReader;
use super::rooted::{Root, clean, kind_of, name, open_directory, remove_all};
use crate::compression::decompress;
use oci_image::digest::{Algorithm, DigestReader};
use oci_image::error::{Context, Error, Result};

/// Copy buffer in bytes.
const BUFFER: usize = 128 * 1024;

/// Unpacks the tar in `reader`, compressed or not, into the existing directory `target`.
///
/// # Errors
/// When the archive is damaged, would leave `target`, goes over a limit, or a file cannot be made.
pub fn unpack(reader: impl Read, target: &Path, options: UnpackOptions) -> Result<Unpacked> {
    unpack_in(reader, Root::open(target)?, options)
}

/// As [`unpack`], into an open directory.
///
/// # Errors
/// As for [`unpack`].
pub fn unpack_into(reader: impl Read, target: OwnedFd, options: UnpackOptions) -> Result<Unpacked> {
    unpack_in(reader, Root::new(target), options)
}

fn unpack_in(reader: impl Read, root: Root, options: UnpackOptions) -> Result<Unpacked> {
    let digested = DigestReader::new(decompress(reader)?, Algorithm::Sha256);
    let mut tar = TarReader::new(digested, options.limits).with_split(options.split);
    let mut unpacker = Unpacker {
        root,
        form: options.form,
        below: clean(&options.below)?
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect(),
        keep_kinds: options.keep_kinds,
        owner: options.owner,
        procfs: options.procfs,
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
    procfs: bool,
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
                    let new = name(path[depth - 1]);
                    rustix::fs::mkdirat(&current, new, Mode::from_raw_mode(0o700)).context(what)?;
                    let made = open_directory(current.as_fd(), new).context(what)?;
                    rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755)).context(what)?;
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
                let fd = open_directory(parent, name(last))
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
                self.size += entry.link.len() as u64;
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
}
