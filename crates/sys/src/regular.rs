//! Files whose content a stranger may have exchanged: opened only if they are regular files, and never waited for.
//!
//! open(2) of a named pipe waits for its other end, of a device does what its driver likes, and of a file with a lease
//! (F_SETLEASE of fcntl(2)) waits 45 seconds for its holder. So a file is looked at first (O_PATH, which opens nothing), and
//! that very file is opened afterwards through its descriptor's entry in /proc, with O_NONBLOCK.
//!
//! A file system that does not answer (FUSE, NFS) holds whoever looks at it: such paths belong into a child with a
//! deadline.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC};

use crate::error::{Context, Error, Result};
use crate::rooted::{Root, kind};

/// The descriptors of this process in a /proc that can be trusted: the machine's own, and not one that a container brought.
#[derive(Debug)]
pub struct Descriptors(OwnedFd);

impl Descriptors {
    /// Those of the process that calls, through the /proc that it sees now. They stay usable in another mount namespace.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn here() -> Result<Descriptors> {
        let what = || "open /proc/self/fd".to_owned();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open("/proc/self/fd", flags, Mode::empty()).what(what)?;
        let system = rustix::fs::fstatfs(&directory).what(what)?;
        if system.f_type == PROC_SUPER_MAGIC {
            Ok(Descriptors(directory))
        } else {
            Err(Error::other(what(), "it is not on proc"))
        }
    }

    /// Opens the file that `file` (O_PATH is enough) is open on, with other flags. No path is walked again.
    ///
    /// # Errors
    /// What open(2) refuses.
    pub fn reopen(&self, file: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
        let name = file.as_raw_fd().to_string();
        let opened = rustix::fs::openat(&self.0, &name, flags | OFlags::CLOEXEC, Mode::empty());
        opened.what(|| "open a descriptor again".into())
    }

    /// Opens the regular file that `file` (O_PATH) is open on; `named` is its name in errors.
    ///
    /// # Errors
    /// When it is something else, or a program holds a lease on it.
    pub fn open_regular(&self, file: BorrowedFd<'_>, flags: OFlags, named: &Path) -> Result<File> {
        let what = || format!("open {}", named.display());
        let kind = kind(file).what(what)?;
        if kind != FileType::RegularFile {
            return Err(Error::other(what(), format!("it is {}", word(kind))));
        }
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        match self.reopen(file, flags) {
            Ok(file) => Ok(File::from(file)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(Error::new(
                format!("{}: a program holds a lease on it", what()),
                error.source,
            )),
            Err(error) => Err(Error::new(what(), error.source)),
        }
    }
}

/// Opens a regular file to read, links followed inside `root`.
///
/// # Errors
/// As [`open`]; when /proc is not mounted.
pub fn open_in(root: &Root, path: &Path) -> Result<File> {
    let found = root.find(path)?;
    Descriptors::here()?.open_regular(found.as_fd(), OFlags::RDONLY, path)
}

/// Opens a regular file to read. A link at the end of the path is followed.
///
/// # Errors
/// When it is missing, something else, or a program holds a lease on it.
pub fn open(path: &Path) -> Result<File> {
    open_with(path, OFlags::RDONLY)
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`]; when it is longer.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_all(open(path)?, most, path)
}

/// Writes a regular file that exists or is made with this mode. It keeps its inode, for it may be bound elsewhere.
///
/// # Errors
/// As [`open`]; what write(2) refuses.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let what = || format!("write {}", path.display());
    let made = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    let mut file = match rustix::fs::open(path, made, mode) {
        Err(rustix::io::Errno::EXIST) => open_with(path, OFlags::WRONLY | OFlags::TRUNC)?,
        made => File::from(made.what(what)?),
    };
    file.write_all(bytes).what(what)?;
    rustix::fs::fchmod(&file, mode).what(what)
}

/// Adds to the end of a regular file that exists or is made with this mode. A link in its place is not followed: whoever may put
/// one there chooses no other file.
///
/// # Errors
/// As [`open`]; what write(2) refuses.
pub fn append(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let what = || format!("write {}", path.display());
    let made = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = match rustix::fs::open(path, made, Mode::from_raw_mode(mode)) {
        Err(rustix::io::Errno::EXIST) => {
            let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = rustix::fs::openat(CWD, path, look, Mode::empty()).what(what)?;
            let flags = OFlags::WRONLY | OFlags::APPEND;
            Descriptors::here()?.open_regular(found.as_fd(), flags, path)?
        }
        made => File::from(made.what(what)?),
    };
    file.write_all(bytes).what(what)
}

/// Reads an open file of at most `most` bytes; `named` is its name in errors.
///
/// # Errors
/// When it is longer, or what read(2) refuses.
pub fn read_all(file: File, most: u64, named: &Path) -> Result<Vec<u8>> {
    let what = || format!("read {}", named.display());
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .what(what)?;
    if bytes.len() as u64 > most {
        return Err(Error::other(
            what(),
            format!("it is larger than {most} bytes"),
        ));
    }
    Ok(bytes)
}

fn open_with(path: &Path, flags: OFlags) -> Result<File> {
    let look = OFlags::PATH | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, look, Mode::empty())
        .what(|| format!("open {}", path.display()))?;
    Descriptors::here()?.open_regular(file.as_fd(), flags, path)
}

/// What a file is, in words.
#[must_use]
pub fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let work = tempfile::tempdir().unwrap();
        let at = |name: &str| work.path().join(name);
        fs::write(at("file"), "text").unwrap();
        fs::create_dir(at("directory")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        assert_eq!(read(&at("file"), 4).unwrap(), b"text");
        assert_eq!(read(&at("link"), 4).unwrap(), b"text");
        for (name, cause) in [
            ("file", "it is larger than 3 bytes"),
            ("directory", "it is a directory"),
            ("pipe", "it is a named pipe"),
            ("socket", "it is a socket"),
            ("loop", "too many levels of symbolic links"),
            ("missing", "no such file or directory"),
        ] {
            let text = read(&at(name), 3).unwrap_err().to_string();
            assert!(
                text.contains(name) && text.ends_with(cause),
                "{name}: {text}"
            );
            if name != "file" && name != "missing" {
                assert!(write(&at(name), b"x", 0o600).is_err(), "{name}");
            }
        }
        let error = read(Path::new("/dev/zero"), 3).unwrap_err().to_string();
        assert_eq!(error, "open /dev/zero: it is a device");
    }

    #[test]
    fn nothing_but_a_regular_file_is_added_to_and_no_link_followed() {
        let work = tempfile::tempdir().unwrap();
        let at = |name: &str| work.path().join(name);
        for bytes in [b"a\n", b"b\n"] {
            append(&at("file"), bytes, 0o640).unwrap();
        }
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink("none", at("loose")).unwrap();
        for name in ["pipe", "link", "loose"] {
            assert!(append(&at(name), b"c\n", 0o640).is_err(), "{name}");
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"a\nb\n");
        assert!(!at("none").exists());
    }

    #[test]
    fn a_file_with_a_lease_is_an_error_at_once() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("file");
        fs::write(&path, "text").unwrap();
        let holder = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        lease(&holder);
        let before = std::time::Instant::now();
        let error = read(&path, 10).unwrap_err();
        assert!(
            error.to_string().contains("a program holds a lease on it"),
            "{error}"
        );
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        // The kernel's time for a holder to give it back is 45 seconds.
        assert!(before.elapsed().as_secs() < 20);
        drop(holder);
        assert_eq!(read(&path, 10).unwrap(), b"text");
    }

    fn lease(file: &File) {
        // SIGIO, which tells that somebody else wants the file, would end this process; SIGURG does not.
        /// `F_SETSIG` of linux/fcntl.h, which libc lacks.
        const F_SETSIG: i32 = 10;
        for (command, value) in [(F_SETSIG, libc::SIGURG), (libc::F_SETLEASE, libc::F_WRLCK)] {
            // SAFETY: both commands take a number, and the descriptor is open.
            let result = unsafe { libc::fcntl(file.as_raw_fd(), command, value) };
            assert_eq!(result, 0);
        }
    }

    #[test]
    fn writing_keeps_the_file_and_sets_its_mode() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("hosts");
        write(&path, b"a long line", 0o644).unwrap();
        let before = fs::metadata(&path).unwrap();
        write(&path, b"short", 0o640).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!((before.ino(), after.mode() & 0o7777), (after.ino(), 0o640));
    }
}
