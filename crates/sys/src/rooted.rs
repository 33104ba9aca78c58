//! Paths inside a root that a stranger controls: an image's, a container's, a volume's.
//!
//! What is there already is opened by openat2(2) with RESOLVE_IN_ROOT. What is missing is made by a walk of our own, one
//! name after the other, each opened on the descriptor of the directory above: a link is read as text and walked inside the
//! root, and `..` goes back to the descriptor that led here. Nothing that is exchanged meanwhile leads out of the root.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::fs::{open_in_root, open_in_root_with};

/// Names that a walk goes through at most, those of links included (PATH_MAX is 4096 bytes, so 2048 names).
const LONGEST_WALK: usize = 1024;

/// Directories below each other at most: each is an open descriptor.
const DEEPEST: usize = 256;

/// Links that a walk follows at most (MAXSYMLINKS of linux/namei.h).
const MOST_LINKS: usize = 40;

/// How often a name is tried again that somebody makes and removes meanwhile.
const RACE_ATTEMPTS: usize = 32;

/// A directory that is `/` for every path given.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// The directory at `path`.
    ///
    /// # Errors
    /// What open(2) refuses.
    pub fn open(path: &Path) -> Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(CWD, path, flags, Mode::empty());
        opened.what(|| format!("open {}", path.display())).map(Root)
    }

    /// A directory that is open already; O_PATH is enough.
    #[must_use]
    pub fn of(directory: OwnedFd) -> Root {
        Root(directory)
    }

    /// The directory itself.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Opens what `path` means, links followed inside the root. O_PATH: nothing is read.
    ///
    /// # Errors
    /// What openat2(2) refuses.
    pub fn find(&self, path: &Path) -> Result<OwnedFd> {
        open_in_root(self.as_fd(), or_here(path))
    }

    /// As [`Self::find`], but a link at the end is itself what is opened.
    ///
    /// # Errors
    /// What openat2(2) refuses.
    pub fn find_link(&self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        open_in_root_with(self.as_fd(), or_here(path), flags)
    }

    /// Opens the directory (or whatever is there). If it is missing it is made with this mode, with its parents, also
    /// behind links that lead nowhere yet. O_PATH.
    ///
    /// # Errors
    /// When something on the way is not a directory, there are too many links or names, or the kernel refuses.
    pub fn ensure_directory(&self, path: &Path, mode: u32) -> Result<OwnedFd> {
        self.ensure(path, &Make::Directory(mode))
    }

    /// As [`Self::ensure_directory`] for a file, which is made empty; the directories above get the mode 0755.
    ///
    /// # Errors
    /// As there.
    pub fn ensure_file(&self, path: &Path, mode: u32) -> Result<OwnedFd> {
        self.ensure(path, &Make::File(mode))
    }

    /// Opens the directory that `path` is in, made if it is missing (0755), and gives the last name, which may be missing
    /// and may be a link.
    ///
    /// # Errors
    /// As [`Self::ensure_directory`]; when the path has no last name.
    pub fn ensure_parent(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let Some(name) = path.file_name() else {
            return Err(failed(path, Errno::ISDIR));
        };
        let above = path.parent().unwrap_or(Path::new("/"));
        Ok((self.ensure_directory(above, PARENTS)?, name.to_owned()))
    }

    fn ensure(&self, path: &Path, make: &Make) -> Result<OwnedFd> {
        match self.find(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Walk::new(self, path).run(make)
            }
            found => found,
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Mode of directories that are made on the way.
const PARENTS: u32 = 0o755;

/// What is made at the end of a path.
enum Make {
    Directory(u32),
    File(u32),
}

/// A path on its way: what is behind, and what is ahead.
struct Walk<'a> {
    root: &'a Root,
    /// The path as it was given, for errors.
    path: &'a Path,
    /// The directories that led here, below the root.
    stack: Vec<OwnedFd>,
    ahead: VecDeque<OsString>,
    links: usize,
    names: usize,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Root, path: &'a Path) -> Walk<'a> {
        let mut walk = Walk {
            root,
            path,
            stack: Vec::new(),
            ahead: VecDeque::new(),
            links: 0,
            names: 0,
        };
        walk.put_ahead(path);
        walk
    }

    /// Puts a path, given or read from a link, before what is ahead.
    fn put_ahead(&mut self, path: &Path) {
        if path.is_absolute() {
            self.stack.clear();
        }
        for component in path.components().rev() {
            match component {
                Component::Normal(name) => self.ahead.push_front(name.to_owned()),
                Component::ParentDir => self.ahead.push_front(OsString::from("..")),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.stack.last().map_or(self.root.as_fd(), OwnedFd::as_fd)
    }

    fn run(mut self, make: &Make) -> Result<OwnedFd> {
        while let Some(name) = self.ahead.pop_front() {
            self.names += 1;
            if self.names > LONGEST_WALK || self.stack.len() > DEEPEST {
                return Err(failed(self.path, Errno::NAMETOOLONG));
            }
            if name == ".." {
                self.stack.pop();
                continue;
            }
            let last = self.ahead.is_empty();
            let next = self.step(
                &name,
                if last {
                    make
                } else {
                    &Make::Directory(PARENTS)
                },
            )?;
            let kind = kind(next.as_fd()).map_err(|errno| failed(self.path, errno))?;
            if kind == FileType::Symlink {
                self.follow(&next)?;
            } else if last {
                return Ok(next);
            } else if kind == FileType::Directory {
                self.stack.push(next);
            } else {
                return Err(failed(self.path, Errno::NOTDIR));
            }
        }
        // It ended with `..`, or was the root: the directory itself.
        open_in_root(self.here(), Path::new("."))
    }

    /// Opens a name of the present directory, whatever it is; makes it if it is missing.
    fn step(&self, name: &OsStr, make: &Make) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..RACE_ATTEMPTS {
            match rustix::fs::openat(self.here(), name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {}
                opened => return opened.map_err(|errno| failed(self.path, errno)),
            }
            match make_one(self.here(), name, make) {
                // Somebody was faster: what is there now is opened.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(self.path, errno)),
            }
        }
        Err(failed(self.path, Errno::AGAIN))
    }

    fn follow(&mut self, link: &OwnedFd) -> Result<()> {
        self.links += 1;
        // Those of proc mean a process's open files and root, whatever their text says; nothing can be made there.
        let on_proc = rustix::fs::fstatfs(link)
            .is_ok_and(|system| system.f_type == rustix::fs::PROC_SUPER_MAGIC);
        if on_proc || self.links > MOST_LINKS {
            return Err(failed(self.path, Errno::LOOP));
        }
        let target = rustix::fs::readlinkat(link, "", Vec::new())
            .map_err(|errno| failed(self.path, errno))?;
        self.put_ahead(&PathBuf::from(OsString::from_vec(target.into_bytes())));
        Ok(())
    }
}

fn make_one(directory: BorrowedFd<'_>, name: &OsStr, make: &Make) -> rustix::io::Result<()> {
    match make {
        Make::Directory(mode) => rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(*mode)),
        Make::File(mode) => {
            let flags =
                OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(*mode)).map(drop)
        }
    }
}

/// What an open file is.
///
/// # Errors
/// What fstat(2) refuses.
pub fn kind(file: BorrowedFd<'_>) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode))
}

/// An empty path is the root, as `/` is.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::new(format!("open {}", path.display()), errno)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root");
        fs::create_dir_all(path.join("srv")).unwrap();
        fs::write(path.join("file"), "").unwrap();
        let root = Root::open(&path).unwrap();
        (directory, root)
    }

    #[test]
    fn what_is_missing_is_made_behind_links_that_lead_nowhere() {
        let (work, root) = root();
        let inside = work.path().join("root");
        for (name, target) in [
            ("near", "srv"),
            ("gone", "/usr/share/zone/Nowhere"),
            ("up", "../../../../out"),
            ("chain", "gone2"),
            ("gone2", "a/../b"),
        ] {
            symlink(target, inside.join(name)).unwrap();
        }
        for (path, is_file, real) in [
            ("/near/a/b", false, "srv/a/b"),
            ("gone/x", false, "usr/share/zone/Nowhere/x"),
            ("/up", false, "out"),
            ("/up/f", true, "out/f"),
            ("/chain", true, "b"),
            ("/srv/./x/../y", false, "srv/y"),
            ("/../../z", false, "z"),
        ] {
            let made = if is_file {
                root.ensure_file(Path::new(path), 0o640).unwrap()
            } else {
                root.ensure_directory(Path::new(path), 0o750).unwrap()
            };
            let stat = rustix::fs::fstat(&made).unwrap();
            let real = fs::symlink_metadata(inside.join(real)).unwrap();
            assert_eq!(
                (stat.st_dev, stat.st_ino),
                (real.dev(), real.ino()),
                "{path}"
            );
            assert_eq!(real.is_file(), is_file, "{path}");
        }
        assert!(
            inside.join("a").is_dir(),
            "a name before .. is made, as mkdir -p does"
        );
        assert_eq!(
            fs::read_dir(work.path()).unwrap().count(),
            1,
            "nothing is outside"
        );
    }

    #[test]
    fn what_is_in_the_way_is_an_error() {
        let (work, root) = root();
        symlink("loop", work.path().join("root/loop")).unwrap();
        let errno = |path: &str| {
            let error = root.ensure_directory(Path::new(path), 0o755).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("open {path}: ")),
                "{error}"
            );
            error.errno()
        };
        assert_eq!(errno("/file/below"), Some(Errno::NOTDIR.raw_os_error()));
        assert_eq!(errno("/loop/x"), Some(Errno::LOOP.raw_os_error()));
        assert_eq!(
            errno(&"/x".repeat(600)),
            Some(Errno::NAMETOOLONG.raw_os_error())
        );
        let parent = root.ensure_parent(Path::new("/new/loop")).unwrap();
        assert_eq!(parent.1, "loop");
        assert!(root.ensure_parent(Path::new("/")).is_err());
    }

    /// A directory is exchanged with a link to the outside in a loop (the class of CVE-2018-15664).
    #[test]
    fn exchanged_directories_do_not_lead_out() {
        let (work, root) = root();
        let inside = work.path().join("root");
        let outside = work.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::create_dir(inside.join("swap")).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (one, other) = (inside.join("swap"), inside.join("link"));
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(CWD, &one, CWD, &other, flags).unwrap();
                }
            });
            for number in 0..500 {
                // Whether it works depends on the moment.
                let _ = root.ensure_file(Path::new(&format!("/swap/d{number}/f")), 0o644);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}
