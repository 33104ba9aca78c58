//! Packs a directory into a tar: a layer from an overlay's upper directory, or a plain archive.
//!
//! The same tree gives the same bytes: entries are sorted, times are whole seconds, names of users are left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::header::{Entry, Kind};
use super::rooted::{DEPTH_MAX, Root, name, read_names};
use super::unpack::{Form, descriptor_path};
use super::writer::TarWriter;
use super::{OPAQUE_MARKER, OPAQUE_XATTR, WHITEOUT_PREFIX};
use oci_image::error::{Context, Error, Result};

/// Largest extended attribute that is kept, in bytes.
const XATTR_MAX: usize = 64 * 1024;

/// What is packed and how.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// Whether overlayfs' whiteouts become whiteout files.
    pub form: Form,
    /// Whether the directory itself is written, as `./`.
    pub include_root: bool,
    /// Path put before every name, without slashes at its ends; empty for none.
    pub prefix: Vec<u8>,
}

impl PackOptions {
    /// A layer of an overlay's upper directory.
    pub fn layer() -> Self {
        Self {
            form: Form::Overlay,
            include_root: false,
            prefix: Vec::new(),
        }
    }
}

/// Packs what is below `directory` into `out`; the archive is not ended.
pub fn pack<W: Write>(
    directory: &Path,
    out: &mut TarWriter<W>,
    options: &PackOptions,
) -> Result<()> {
    let root = Root::open(directory)?;
    let mut packer = Packer {
        out,
        form: options.form,
        links: BTreeMap::new(),
    };
    if options.include_root {
        let stat =
            rustix::fs::fstat(root.fd()).context(|| format!("look at {}", directory.display()))?;
        let path = if options.prefix.is_empty() {
            b"./".to_vec()
        } else {
            [options.prefix.as_slice(), b"/"].concat()
        };
        let mut entry = entry_of(&stat, path, Kind::Directory);
        entry.xattrs = xattrs(&descriptor_path(root.fd()), true)?;
        packer.out.append_empty(&entry)?;
    }
    packer.directory(root.fd(), &options.prefix, 0)
}

struct Packer<'a, W: Write> {
    out: &'a mut TarWriter<W>,
    form: Form,
    /// First path of each file with several links, by device and inode.
    links: BTreeMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<'_, W> {
    fn directory(&mut self, fd: BorrowedFd<'_>, path: &[u8], depth: usize) -> Result<()> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: format!("directory depth at {}", shown()),
                limit: DEPTH_MAX as u64,
            });
        }
        if self.form == Form::Overlay && is_opaque(fd)? {
            let marker = Entry::new(joined(path, OPAQUE_MARKER.as_bytes()), Kind::File, 0o600);
            self.out.append_empty(&marker)?;
        }
        for child in read_names(fd).context(|| format!("list {}", shown()))? {
            self.child(fd, path, &child, depth)?;
        }
        Ok(())
    }

    fn child(
        &mut self,
        parent: BorrowedFd<'_>,
        directory: &[u8],
        child: &[u8],
        depth: usize,
    ) -> Result<()> {
        let path = joined(directory, child);
        let what = || format!("pack {}", String::from_utf8_lossy(&path));
        let stat = match rustix::fs::statat(parent, name(child), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()), // removed meanwhile
            result => result.context(what)?,
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(()), // sockets have no form in a tar
        };
        if self.form == Form::Overlay && kind == Kind::CharDevice && stat.st_rdev == 0 {
            let hidden = [WHITEOUT_PREFIX.as_bytes(), child].concat();
            return self.out.append_empty(&Entry::new(
                joined(directory, &hidden),
                Kind::File,
                0o600,
            ));
        }
        if kind != Kind::Directory && stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                let mut entry = entry_of(&stat, path, Kind::HardLink);
                entry.link.clone_from(first);
                return self.out.append_empty(&entry);
            }
            self.links.insert(inode, path.clone());
        }
        match kind {
            Kind::Directory => self.subdirectory(parent, child, &path, depth),
            Kind::File => self.file(parent, child, path),
            _ => self.special(parent, child, &stat, path, kind),
        }
    }

    fn subdirectory(
        &mut self,
        parent: BorrowedFd<'_>,
        child: &[u8],
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        let what = || format!("pack {}", String::from_utf8_lossy(path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name(child), flags, Mode::empty()).context(what)?;
        let stat = rustix::fs::fstat(&fd).context(what)?;
        let mut entry = entry_of(&stat, [path, b"/"].concat(), Kind::Directory);
        entry.xattrs = xattrs(&descriptor_path(fd.as_fd()), true)?;
        self.out.append_empty(&entry)?;
        self.directory(fd.as_fd(), path, depth + 1)
    }

    fn file(&mut self, parent: BorrowedFd<'_>, child: &[u8], path: Vec<u8>) -> Result<()> {
        let what = || format!("pack {}", String::from_utf8_lossy(child));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(
            rustix::fs::openat(parent, name(child), flags, Mode::empty()).context(what)?,
        );
        let stat = rustix::fs::fstat(&file).context(what)?;
        let mut entry = entry_of(&stat, path, Kind::File);
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        entry.xattrs = xattrs(&descriptor_path(file.as_fd()), true)?;
        self.out.append(&entry, &mut file)
    }

    fn special(
        &mut self,
        parent: BorrowedFd<'_>,
        child: &[u8],
        stat: &Stat,
        path: Vec<u8>,
        kind: Kind,
    ) -> Result<()> {
        let what = || format!("pack {}", String::from_utf8_lossy(child));
        let mut entry = entry_of(stat, path, kind);
        match kind {
            Kind::Symlink => {
                entry.mode = 0o777;
                entry.link = rustix::fs::readlinkat(parent, name(child), Vec::new())
                    .context(what)?
                    .into_bytes();
            }
            Kind::CharDevice | Kind::BlockDevice => {
                entry.device = (
                    rustix::fs::major(stat.st_rdev),
                    rustix::fs::minor(stat.st_rdev),
                );
            }
            _ => {}
        }
        entry.xattrs = xattrs(&descriptor_path(parent).join(name(child)), false)?;
        self.out.append_empty(&entry)
    }
}

fn joined(directory: &[u8], child: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return child.to_vec();
    }
    [directory, b"/", child].concat()
}

fn entry_of(stat: &Stat, path: Vec<u8>, kind: Kind) -> Entry {
    Entry {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, 0),
        ..Entry::new(path, kind, stat.st_mode & 0o7777)
    }
}

fn is_opaque(fd: BorrowedFd<'_>) -> Result<bool> {
    let mut value = [0_u8; 2];
    match rustix::fs::fgetxattr(fd, OPAQUE_XATTR, &mut value[..]) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(Error::io("read the opaque mark", errno)),
    }
}

/// Extended attributes that belong to the image, sorted by name.
fn xattrs(path: &Path, follow: bool) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let what = || "read extended attributes".to_owned();
    let mut list = vec![0_u8; XATTR_MAX];
    let listed = if follow {
        rustix::fs::listxattr(path, &mut list[..])
    } else {
        rustix::fs::llistxattr(path, &mut list[..])
    };
    let length = match listed {
        Err(Errno::NOTSUP | Errno::NOENT) => return Ok(Vec::new()),
        result => result.context(what)?,
    };
    let mut found = Vec::new();
    for attribute in list[..length].split(|b| *b == 0).filter(|a| !a.is_empty()) {
        let kept = attribute == b"security.capability"
            || (attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay."))
            || attribute.starts_with(b"system.posix_acl_");
        if !kept {
            continue;
        }
        let mut value = vec![0_u8; XATTR_MAX];
        let read = if follow {
            rustix::fs::getxattr(path, name(attribute), &mut value[..])
        } else {
            rustix::fs::lgetxattr(path, name(attribute), &mut value[..])
        };
        match read {
            Err(Errno::NODATA) => {}
            result => {
                value.truncate(result.context(what)?);
                found.push((attribute.to_vec(), value));
            }
        }
    }
    found.sort();
    Ok(found)
}
