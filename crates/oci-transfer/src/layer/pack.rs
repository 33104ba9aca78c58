//! Packs a directory into a tar: a layer from an overlay's upper directory, or a plain archive.
//!
//! The same tree gives the same bytes: entries are sorted, times are whole seconds, names of users are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::header::{Entry, Kind};
use super::lease::past_lease;
use super::rooted::{DEPTH_MAX, Root, name, open_directory, read_names};
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
    /// Whether the directory itself is written: as `./`, or under the name of the prefix.
    pub include_root: bool,
    /// Path put before every name, without slashes at its ends; empty for none. `/` gives `/`, `/bin/` and so on, which is
    /// how Docker names what is in a root directory.
    pub prefix: Vec<u8>,
    /// Paths, without the prefix, that are passed over.
    pub leave_out: BTreeSet<Vec<u8>>,
    /// Whether /proc is the kernel's. Only there links, devices and pipes, which must not be opened, have extended
    /// attributes; a worker whose root is a container's does without.
    pub procfs: bool,
}

impl PackOptions {
    /// A layer of an overlay's upper directory.
    pub fn layer() -> Self {
        Self {
            form: Form::Overlay,
            include_root: false,
            prefix: Vec::new(),
            leave_out: BTreeSet::new(),
            procfs: true,
        }
    }

    /// The files as they are.
    pub fn plain() -> Self {
        Self {
            form: Form::Plain,
            ..Self::layer()
        }
    }
}

/// Packs what is below `directory` into `out`; the archive is not ended.
///
/// # Errors
/// When a file cannot be read, or writing fails.
pub fn pack<W: Write>(
    directory: &Path,
    out: &mut TarWriter<W>,
    options: &PackOptions,
) -> Result<()> {
    pack_directory(Root::open(directory)?.fd(), out, options)
}

/// As [`pack`], from an open directory.
///
/// Who changes the tree meanwhile finds no way out of it: every step is one name in an open directory, no link is
/// followed, and nothing but regular files and directories is read. What vanishes is passed over.
///
/// # Errors
/// When a file cannot be read, or writing fails.
pub fn pack_directory<W: Write>(
    directory: BorrowedFd<'_>,
    out: &mut TarWriter<W>,
    options: &PackOptions,
) -> Result<()> {
    let mut packer = Packer {
        out,
        options,
        links: BTreeMap::new(),
    };
    if options.include_root {
        let stat = rustix::fs::fstat(directory).context(|| "look at the directory".to_owned())?;
        let path = match options.prefix.as_slice() {
            b"" => b"./".to_vec(),
            b"/" => b"/".to_vec(),
            prefix => [prefix, b"/"].concat(),
        };
        let mut entry = entry_of(&stat, path, Kind::Directory);
        entry.xattrs = xattrs_of(directory)?;
        packer.out.append_empty(&entry)?;
    }
    packer.directory(directory, &options.prefix, 0)
}

/// Packs one thing that is not a directory under the name `path`. `file` is open for reading when it is a regular file,
/// and else with O_PATH.
///
/// # Errors
/// When it cannot be read, or writing fails.
pub fn pack_file<W: Write>(file: File, path: &[u8], out: &mut TarWriter<W>) -> Result<()> {
    let what = || format!("pack {}", String::from_utf8_lossy(path));
    let stat = rustix::fs::fstat(&file).context(what)?;
    match kind_of_file(&stat) {
        Some(Kind::File) => append_file(out, file, &stat, path.to_vec()),
        Some(Kind::Symlink) => {
            let target = rustix::fs::readlinkat(&file, "", Vec::new()).context(what)?;
            out.append_empty(&link_entry(&stat, path.to_vec(), target.into_bytes()))
        }
        Some(kind) if kind != Kind::Directory => {
            out.append_empty(&special_entry(&stat, path.to_vec(), kind))
        }
        Some(_) => Err(Error::invalid(format!(
            "{} is a directory",
            String::from_utf8_lossy(path)
        ))),
        None => Err(Error::invalid(format!(
            "{} is a socket, which no archive can hold",
            String::from_utf8_lossy(path)
        ))),
    }
}

struct Packer<'a, W: Write> {
    out: &'a mut TarWriter<W>,
    options: &'a PackOptions,
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
        if self.options.form == Form::Overlay && is_opaque(fd)? {
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
        if self.options.leave_out.contains(&path) {
            return Ok(());
        }
        let what = || format!("pack {}", String::from_utf8_lossy(&path));
        let look = rustix::fs::statat(parent, name(child), AtFlags::SYMLINK_NOFOLLOW);
        let Some(stat) = unless_changed(look).context(what)? else {
            return Ok(());
        };
        let Some(kind) = kind_of_file(&stat) else {
            return Ok(()); // sockets have no form in a tar
        };
        if self.options.form == Form::Overlay && kind == Kind::CharDevice && stat.st_rdev == 0 {
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
        let Some(fd) = unless_changed(open_directory(parent, name(child))).context(what)? else {
            return Ok(());
        };
        let stat = rustix::fs::fstat(&fd).context(what)?;
        let mut entry = entry_of(&stat, [path, b"/"].concat(), Kind::Directory);
        entry.xattrs = xattrs_of(fd.as_fd())?;
        self.out.append_empty(&entry)?;
        self.directory(fd.as_fd(), path, depth + 1)
    }

    fn file(&mut self, parent: BorrowedFd<'_>, child: &[u8], path: Vec<u8>) -> Result<()> {
        let what = || format!("pack {}", String::from_utf8_lossy(&path));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(parent, name(child), flags, Mode::empty());
        let opened = past_lease(open, |errno| *errno == Errno::AGAIN);
        let Some(file) = unless_changed(opened).context(what)?.map(File::from) else {
            return Ok(());
        };
        let stat = rustix::fs::fstat(&file).context(what)?;
        // something else has taken the file's place: a device or a pipe must not be read
        if kind_of_file(&stat) != Some(Kind::File) {
            return Ok(());
        }
        append_file(self.out, file, &stat, path)
    }

    fn special(
        &mut self,
        parent: BorrowedFd<'_>,
        child: &[u8],
        stat: &Stat,
        path: Vec<u8>,
        kind: Kind,
    ) -> Result<()> {
        let what = || format!("pack {}", String::from_utf8_lossy(&path));
        let mut entry = if kind == Kind::Symlink {
            let target = rustix::fs::readlinkat(parent, name(child), Vec::new());
            let target = match target {
                Err(Errno::INVAL) => return Ok(()), // it is not a link any more
                target => unless_changed(target).context(what)?,
            };
            match target {
                Some(target) => link_entry(stat, path, target.into_bytes()),
                None => return Ok(()),
            }
        } else {
            special_entry(stat, path, kind)
        };
        if self.options.procfs {
            entry.xattrs = xattrs_below(&descriptor_path(parent).join(name(child)))?;
        }
        self.out.append_empty(&entry)
    }
}

/// `None` when what was looked at a moment ago is gone or has become something else.
fn unless_changed<T>(
    result: std::result::Result<T, Errno>,
) -> std::result::Result<Option<T>, Errno> {
    match result {
        // EACCES: a device on a mount that has none; ENXIO: a socket
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::NXIO) => Ok(None),
        result => result.map(Some),
    }
}

fn append_file<W: Write>(
    out: &mut TarWriter<W>,
    mut file: File,
    stat: &Stat,
    path: Vec<u8>,
) -> Result<()> {
    let mut entry = entry_of(stat, path, Kind::File);
    entry.size = u64::try_from(stat.st_size).unwrap_or(0);
    entry.xattrs = xattrs_of(file.as_fd())?;
    out.append(&entry, &mut file)
}

fn link_entry(stat: &Stat, path: Vec<u8>, target: Vec<u8>) -> Entry {
    let mut entry = entry_of(stat, path, Kind::Symlink);
    entry.mode = 0o777;
    entry.link = target;
    entry
}

fn special_entry(stat: &Stat, path: Vec<u8>, kind: Kind) -> Entry {
    let mut entry = entry_of(stat, path, kind);
    if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        let device = stat.st_rdev;
        entry.device = (rustix::fs::major(device), rustix::fs::minor(device));
    }
    entry
}

/// What a tar calls this; sockets have no form in it.
fn kind_of_file(stat: &Stat) -> Option<Kind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo => Kind::Fifo,
        _ => return None,
    })
}

fn joined(directory: &[u8], child: &[u8]) -> Vec<u8> {
    if directory.is_empty() || directory == b"/" {
        return [directory, child].concat();
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

/// Extended attributes of an open file that belong to the image, sorted by name.
fn xattrs_of(file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    xattrs(
        |list| rustix::fs::flistxattr(file, list),
        |attribute, value| rustix::fs::fgetxattr(file, name(attribute), value),
    )
}

/// As [`xattrs_of`], of what must not be opened; a link is not followed.
fn xattrs_below(path: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    xattrs(
        |list| rustix::fs::llistxattr(path, list),
        |attribute, value| rustix::fs::lgetxattr(path, name(attribute), value),
    )
}

fn xattrs(
    list: impl FnOnce(&mut [u8]) -> std::result::Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> std::result::Result<usize, Errno>,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let what = || "read extended attributes".to_owned();
    let mut names = vec![0_u8; XATTR_MAX];
    let length = match list(&mut names) {
        Err(Errno::NOTSUP | Errno::NOENT) => return Ok(Vec::new()),
        result => result.context(what)?,
    };
    let mut found = Vec::new();
    for attribute in names[..length].split(|b| *b == 0).filter(|a| !a.is_empty()) {
        let kept = attribute == b"security.capability"
            || (attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay."))
            || attribute.starts_with(b"system.posix_acl_");
        if !kept {
            continue;
        }
        let mut value = vec![0_u8; XATTR_MAX];
        match get(attribute, &mut value) {
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
