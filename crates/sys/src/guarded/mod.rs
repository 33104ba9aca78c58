//! Files that root reads and writes in directories of other users: below their homes, in /tmp.
//!
//! Such a user may put a link, a pipe or somebody else's file in the place of any name there, at any time. So a path is
//! walked name by name on descriptors. A link is followed only where nobody but root can have made it (/etc/localtime,
//! /var/run). The end of the walk is a [`Place`]: an open directory and one name in it, which is not a link. Everything else is
//! done there, and no path is walked again.

mod walk;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::regular::{Descriptors, read_all, word};
use walk::{End, Walk};

/// A name in an open directory.
#[derive(Debug)]
pub struct Place {
    end: End,
    /// As it was given, for errors.
    path: PathBuf,
}

/// What is at a place.
#[derive(Debug)]
pub struct Found<'a> {
    place: &'a Place,
    /// O_PATH.
    file: OwnedFd,
    stat: Stat,
}

/// What a file is to be.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its permission bits.
    pub mode: u32,
    /// Its user and group.
    pub owner: (u32, u32),
}

impl Place {
    /// Walks to a path. Missing directories on the way are made, root's and with the mode 0755.
    ///
    /// # Errors
    /// When a link is in the way that another user may have made, something is not a directory, or the kernel refuses.
    pub fn make(path: &Path) -> Result<Place> {
        Ok(Place {
            end: Walk::new(path)?.run()?,
            path: path.to_owned(),
        })
    }

    /// Whether the path ended with a link that was followed: what it leads to keeps its inode.
    #[must_use]
    pub fn was_link(&self) -> bool {
        self.end.was_link
    }

    /// What is there now; `None` when nothing is.
    ///
    /// # Errors
    /// What open(2) refuses.
    pub fn find(&self) -> Result<Option<Found<'_>>> {
        let what = || format!("open {}", self.path.display());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.end.directory, &self.end.name, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            opened => {
                let file = opened.what(what)?;
                let stat = rustix::fs::fstat(&file).what(what)?;
                Ok(Some(Found {
                    place: self,
                    file,
                    stat,
                }))
            }
        }
    }

    /// Makes the directory, unless one is there: that one stays as it is.
    ///
    /// # Errors
    /// When something else is there; what mkdir(2) refuses.
    pub fn make_directory(&self, mode: u32, owner: (u32, u32)) -> Result<()> {
        let what = || format!("make the directory {}", self.path.display());
        match rustix::fs::mkdirat(
            &self.end.directory,
            &self.end.name,
            Mode::from_raw_mode(mode),
        ) {
            Ok(()) => self.find()?.map_or(Ok(()), |made| made.give(owner)),
            Err(Errno::EXIST) => match self.find()? {
                Some(found) if !found.is_directory() => Err(Error::other(
                    what(),
                    format!("it is {}", word(found.kind())),
                )),
                _ => Ok(()),
            },
            Err(errno) => Err(errno).what(what),
        }
    }

    /// Puts a new file in the place of what is there, so that no reader sees half of it; it is on the disk when `is_durable`.
    /// False where a mount is in the way.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn replace(&self, content: &Content<'_>, is_durable: bool) -> Result<bool> {
        let what = || format!("write {}", self.path.display());
        let directory = &self.end.directory;
        let mut temporary = OsString::from(".");
        temporary.push(&self.end.name);
        temporary.push(".ros-new");
        let remove = || rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        let _ = remove(); // left by a power cut
        let file = self.create(&temporary, content.mode & 0o700)?;
        let written = fill(&file, content).and_then(|()| {
            if is_durable {
                file.sync_all()?;
            }
            Ok(rustix::fs::renameat(
                directory,
                &temporary,
                directory,
                &self.end.name,
            )?)
        });
        match written {
            Ok(()) => Ok(true),
            Err(error) => {
                let _ = remove(); // the old file stands; what is left of the new one must not stay
                if error.kind() == std::io::ErrorKind::ResourceBusy {
                    return Ok(false);
                }
                Err(error).what(what)
            }
        }
    }

    /// Writes into the file that is there, which keeps its inode, or makes it.
    ///
    /// # Errors
    /// When something else than a file is there, it may be another user's, or the kernel refuses.
    pub fn overwrite(&self, content: &Content<'_>) -> Result<()> {
        let file = match self.find()? {
            None => self.create(&self.end.name, content.mode & 0o700)?,
            Some(found) => {
                found.check_owner(content.owner)?;
                found.open(OFlags::WRONLY | OFlags::TRUNC)?
            }
        };
        fill(&file, content).what(|| format!("write {}", self.path.display()))
    }

    /// Adds to the end of the file that is there, or makes it; not if it ends so already.
    ///
    /// # Errors
    /// As [`Self::overwrite`]; when it is longer than `most` bytes.
    pub fn append_once(&self, content: &Content<'_>, most: u64) -> Result<()> {
        let Some(found) = self.find()? else {
            return self.overwrite(content);
        };
        found.check_owner(content.owner)?;
        let bytes: &[u8] = if found.read(most)?.ends_with(content.bytes) {
            &[]
        } else {
            content.bytes
        };
        let file = found.open(OFlags::WRONLY | OFlags::APPEND)?;
        fill(&file, &Content { bytes, ..*content })
            .what(|| format!("write {}", self.path.display()))
    }

    /// Gives what is there another name in the same directory, `ending` being added; returns the new path.
    ///
    /// # Errors
    /// What rename(2) refuses.
    pub fn set_aside(&self, ending: &str) -> Result<PathBuf> {
        let directory = &self.end.directory;
        let mut name = self.end.name.clone();
        name.push(ending);
        rustix::fs::renameat(directory, &self.end.name, directory, &name)
            .what(|| format!("set {} aside", self.path.display()))?;
        Ok(self.path.with_file_name(name))
    }

    /// A file that is not there, so that nobody's link is followed.
    fn create(&self, name: &OsString, mode: u32) -> Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.end.directory, name, flags, Mode::from_raw_mode(mode))
            .map(File::from)
            .what(|| format!("create {}", self.path.display()))
    }
}

impl Found<'_> {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// The number of its user.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.stat.st_uid
    }

    /// Whether this user may read it. A file can be moved by whoever may write its directory: root must not read for a user
    /// what that user may not.
    #[must_use]
    pub fn is_readable_by(&self, (user, group): (u32, u32)) -> bool {
        let bit = if self.stat.st_uid == user {
            0o400
        } else if self.stat.st_gid == group {
            0o040
        } else {
            0o004
        };
        user == 0 || self.stat.st_mode & bit != 0
    }

    /// Reads a regular file of at most `most` bytes.
    ///
    /// # Errors
    /// When it is something else, or longer, or a program holds a lease on it.
    pub fn read(&self, most: u64) -> Result<Vec<u8>> {
        read_all(self.open(OFlags::RDONLY)?, most, &self.place.path)
    }

    fn open(&self, flags: OFlags) -> Result<File> {
        Descriptors::here()?.open_regular(self.file.as_fd(), flags, &self.place.path)
    }

    /// Where another user may have put it, by rename(2) or link(2), only a file of the owner to be is changed in place: the
    /// owner must not get another one's.
    fn check_owner(&self, (user, _): (u32, u32)) -> Result<()> {
        let refused = |cause: &str| {
            let what = format!("write {}", self.place.path.display());
            Err(Error::other(what, cause))
        };
        if !self.place.end.is_open {
            return Ok(());
        }
        if self.stat.st_nlink > 1 {
            return refused("it has a second name");
        }
        if user != 0 && self.stat.st_uid != user {
            return refused("it belongs to another user");
        }
        Ok(())
    }

    fn give(&self, (user, group): (u32, u32)) -> Result<()> {
        let owner = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        rustix::fs::chownat(&self.file, "", owner.0, owner.1, AtFlags::EMPTY_PATH)
            .what(|| format!("chown {user}:{group} {}", self.place.path.display()))
    }
}

/// Content, then the owner, then the mode: chown(2) clears the set-user-id bits.
fn fill(mut file: &File, content: &Content<'_>) -> std::io::Result<()> {
    let (user, group) = content.owner;
    file.write_all(content.bytes)?;
    rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(content.mode))?)
}

#[cfg(test)]
mod tests;
