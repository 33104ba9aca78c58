//! The way to a name: one directory after the other, each opened on the descriptor of the one above.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::rooted::kind;

/// Names that a walk goes through at most, those of links included (PATH_MAX is 4096 bytes, so 2048 names).
const LONGEST_WALK: usize = 1024;
/// Links that a walk follows at most (MAXSYMLINKS of linux/namei.h).
const MOST_LINKS: usize = 40;
/// Mode of directories that are made on the way.
const PARENTS: u32 = 0o755;
/// O_PATH opens nothing: no pipe and no device is touched by it.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The end of a walk: a directory that is open, and a name in it that may be missing and is not a link.
#[derive(Debug)]
pub(super) struct End {
    pub(super) directory: OwnedFd,
    pub(super) name: OsString,
    /// Whether another user than root may exchange what is there.
    pub(super) is_open: bool,
    /// Whether the last name of the path was a link.
    pub(super) was_link: bool,
}

/// A directory on the way.
struct Step {
    directory: OwnedFd,
    trust: Trust,
}

/// What of a directory other users than root may exchange. Root is also the user who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Nothing.
    Closed,
    /// Others may add names, and each may exchange the own ones only: the sticky bit, as of /tmp.
    Sticky,
    /// Everything, here and below.
    Open,
}

impl Trust {
    /// That of a directory in a directory that is trusted so far.
    fn of(above: Trust, directory: &Stat) -> Trust {
        let is_roots = is_roots(directory);
        match above {
            Trust::Open => return Trust::Open,
            Trust::Sticky if !is_roots => return Trust::Open,
            Trust::Sticky | Trust::Closed => {}
        }
        let mode = directory.st_mode;
        // An access list's users are within what the group's bits allow (acl(5)).
        let others_write = mode & 0o002 != 0 || (mode & 0o020 != 0 && directory.st_gid != 0);
        match (is_roots, others_write, mode & 0o1000 != 0) {
            (true, false, _) => Trust::Closed,
            (true, true, true) => Trust::Sticky,
            _ => Trust::Open,
        }
    }
}

fn is_roots(found: &Stat) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&found.st_uid)
}

/// A path on its way: what is behind, and what is ahead.
pub(super) struct Walk<'a> {
    /// The path as it was given, for errors.
    path: &'a Path,
    stack: Vec<Step>,
    ahead: VecDeque<OsString>,
    links: usize,
    was_link: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(path: &'a Path) -> Result<Walk<'a>> {
        let start = if path.is_absolute() { "/" } else { "." };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(start, flags, Mode::empty())
            .what(|| format!("open {}", path.display()))?;
        let mut walk = Walk {
            path,
            stack: Vec::new(),
            ahead: VecDeque::new(),
            links: 0,
            was_link: false,
        };
        walk.enter(directory, Trust::Closed)?;
        walk.put_ahead(path);
        Ok(walk)
    }

    /// Goes to the end. Missing directories are made.
    pub(super) fn run(mut self) -> Result<End> {
        let mut names = 0;
        while let Some(name) = self.ahead.pop_front() {
            names += 1;
            if names > LONGEST_WALK {
                return Err(self.failed(Errno::NAMETOOLONG));
            }
            if name == ".." {
                // The first one is the root, which is above itself.
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                continue;
            }
            let is_last = self.ahead.is_empty();
            let found = match rustix::fs::openat(self.here(), &name, LOOK, Mode::empty()) {
                Err(Errno::NOENT) if is_last => return self.end(name),
                Err(Errno::NOENT) => self.make(&name)?,
                found => found.map_err(|errno| self.failed(errno))?,
            };
            match kind(found.as_fd()).map_err(|errno| self.failed(errno))? {
                FileType::Symlink => self.follow(&name, &found, is_last)?,
                _ if is_last => return self.end(name),
                FileType::Directory => self.enter(found, self.trust())?,
                _ => return Err(self.failed(Errno::NOTDIR)),
            }
        }
        Err(self.failed(Errno::ISDIR))
    }

    fn end(mut self, name: OsString) -> Result<End> {
        let (path, was_link) = (self.path, self.was_link);
        let last = self.stack.pop();
        let last = last.ok_or_else(|| failed(path, Errno::NOENT))?;
        Ok(End {
            directory: last.directory,
            name,
            is_open: last.trust != Trust::Closed,
            was_link,
        })
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.stack
            .last()
            .map_or(rustix::fs::CWD, |step| step.directory.as_fd())
    }

    fn trust(&self) -> Trust {
        self.stack.last().map_or(Trust::Open, |step| step.trust)
    }

    fn enter(&mut self, directory: OwnedFd, above: Trust) -> Result<()> {
        let found = rustix::fs::fstat(&directory).map_err(|errno| self.failed(errno))?;
        let trust = Trust::of(above, &found);
        self.stack.push(Step { directory, trust });
        Ok(())
    }

    fn make(&self, name: &OsStr) -> Result<OwnedFd> {
        match rustix::fs::mkdirat(self.here(), name, Mode::from_raw_mode(PARENTS)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed(errno)),
        }
        rustix::fs::openat(self.here(), name, LOOK, Mode::empty())
            .map_err(|errno| self.failed(errno))
    }

    /// Puts what a link says before what is ahead.
    fn follow(&mut self, name: &OsStr, link: &OwnedFd, is_last: bool) -> Result<()> {
        let found = rustix::fs::fstat(link).map_err(|errno| self.failed(errno))?;
        let is_roots = match self.trust() {
            Trust::Closed => true,
            Trust::Sticky => is_roots(&found),
            Trust::Open => false,
        };
        if !is_roots {
            return Err(Error::other(
                format!("open {}", self.path.display()),
                format!(
                    "{} is a symbolic link where another user than root may make one: it is not followed",
                    name.display()
                ),
            ));
        }
        self.links += 1;
        // Those of proc mean a process's open files and root, whatever their text says.
        let is_magic = rustix::fs::fstatfs(link)
            .is_ok_and(|system| system.f_type == rustix::fs::PROC_SUPER_MAGIC);
        if is_magic || self.links > MOST_LINKS {
            return Err(self.failed(Errno::LOOP));
        }
        let target =
            rustix::fs::readlinkat(link, "", Vec::new()).map_err(|errno| self.failed(errno))?;
        self.put_ahead(&PathBuf::from(OsString::from_vec(target.into_bytes())));
        self.was_link |= is_last;
        Ok(())
    }

    fn put_ahead(&mut self, path: &Path) {
        if path.is_absolute() {
            self.stack.truncate(1);
        }
        for component in path.components().rev() {
            match component {
                Component::Normal(name) => self.ahead.push_front(name.to_owned()),
                Component::ParentDir => self.ahead.push_front(OsString::from("..")),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }

    fn failed(&self, errno: Errno) -> Error {
        failed(self.path, errno)
    }
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::new(format!("open {}", path.display()), errno)
}
