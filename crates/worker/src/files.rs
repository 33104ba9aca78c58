//! `docker cp` and `docker export`: the files of a container, which are all files that this process sees.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use oci_image::error::{Context, Error, Result};
use oci_image::task::{FilePath, FileStat, FilesAction};
use oci_transfer::layer::{
    PackOptions, TarWriter, UnpackOptions, pack_directory, pack_file, past_lease, unpack_into,
};
use rustix::fs::{FileType, OFlags, StatVfsMountFlags, StatxFlags};
use sys::regular::Descriptors;
use sys::rooted::Root;

use crate::view::named;

/// Links that are followed to find where one leads in the end, as the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;

/// Does what is asked. `said` is told what a path is.
pub(crate) fn run(
    action: &FilesAction,
    descriptors: &Descriptors,
    input: impl Read,
    output: impl Write,
    said: &dyn Fn(FileStat),
) -> Result<()> {
    let root = Root::open(Path::new("/")).map_err(named("open the root directory"))?;
    let place = Place { root, descriptors };
    match action {
        FilesAction::Stat(path) => {
            said(place.look(path)?.1);
            Ok(())
        }
        FilesAction::Read(path) => read(&place, path, output, said),
        FilesAction::Write {
            path,
            keep_kinds,
            owner,
        } => {
            check_writable(&place, path)?;
            let below = path.clean.to_string_lossy();
            let options = UnpackOptions {
                below: below.trim_start_matches('/').as_bytes().to_vec(),
                keep_kinds: *keep_kinds,
                owner: *owner,
                procfs: false,
                ..UnpackOptions::plain()
            };
            let root = place.readable(place.root.as_fd())?;
            unpack_into(input, root, options).map(drop)
        }
        FilesAction::Export => {
            let mut tar = TarWriter::new(BufWriter::with_capacity(BUFFER, output));
            let root = place.readable(place.root.as_fd())?;
            pack_directory(root.as_fd(), &mut tar, &plain())?;
            tar.finish().map(drop)
        }
    }
}

/// There is no /proc but what the container's image has in that place.
fn plain() -> PackOptions {
    PackOptions {
        procfs: false,
        ..PackOptions::plain()
    }
}

fn not_there(path: &FilePath, error: &io::Error) -> Error {
    let FilePath {
        shown, container, ..
    } = path;
    match error.kind() {
        io::ErrorKind::NotADirectory => Error::invalid(format!("{shown}: not a directory")),
        io::ErrorKind::NotFound => Error::NotFound(format!(
            "Could not find the file {shown} in container {container}"
        )),
        _ => Error::invalid(format!("{shown} in container {container}: {error}")),
    }
}

fn read(
    place: &Place<'_>,
    path: &FilePath,
    output: impl Write,
    said: &dyn Fn(FileStat),
) -> Result<()> {
    let (file, stat) = place.look(path)?;
    let name = stat.name.clone().into_bytes();
    let kind = FileType::from_raw_mode(stat.mode);
    let mut tar = TarWriter::new(BufWriter::with_capacity(BUFFER, output));
    if kind == FileType::Directory {
        let directory = place.readable(file.as_fd())?;
        said(stat);
        let options = PackOptions {
            include_root: true,
            prefix: name,
            ..plain()
        };
        pack_directory(directory.as_fd(), &mut tar, &options)?;
    } else if kind == FileType::RegularFile {
        let open = || {
            let file = file.as_fd();
            place
                .descriptors
                .open_regular(file, OFlags::RDONLY, &path.clean)
        };
        let regular = past_lease(open, |error| error.kind() == io::ErrorKind::WouldBlock);
        let file = regular.map_err(|error| not_there(path, &error.into()))?;
        said(stat);
        pack_file(file, &name, &mut tar)?;
    } else {
        said(stat);
        pack_file(File::from(file), &name, &mut tar)?;
    }
    tar.finish().map(drop)
}

/// Refuses a directory that the container itself could not write to.
fn check_writable(place: &Place<'_>, path: &FilePath) -> Result<()> {
    let directory = place
        .open(&path.clean, true)
        .map_err(|error| not_there(path, &error))?;
    let what = || format!("look at {}", path.shown);
    let stat = rustix::fs::fstat(&directory).context(what)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Error::Refused(
            "extraction point is not a directory".to_owned(),
        ));
    }
    let flags = rustix::fs::fstatvfs(&directory).context(what)?.f_flag;
    if !flags.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let mount = |file: BorrowedFd<'_>| {
        let stat = rustix::fs::statx(
            file,
            "",
            rustix::fs::AtFlags::EMPTY_PATH,
            StatxFlags::MNT_ID,
        );
        stat.map(|stat| stat.stx_mnt_id).context(what)
    };
    let text = if mount(directory.as_fd())? == mount(place.root.as_fd())? {
        "container rootfs is marked read-only"
    } else {
        "mounted volume is marked read-only"
    };
    Err(Error::Refused(text.to_owned()))
}

/// The container's root directory, which is this process's own; paths are resolved in it all the same.
struct Place<'a> {
    root: Root,
    descriptors: &'a Descriptors,
}

impl Place<'_> {
    /// Opens, O_PATH, what `path` means: where a link at its end leads, or the link itself.
    fn open(&self, path: &Path, follow: bool) -> io::Result<OwnedFd> {
        Ok(match follow {
            true => self.root.find(path)?,
            false => self.root.find_link(path)?,
        })
    }

    /// Opens a directory, O_PATH until now, to list it.
    fn readable(&self, directory: BorrowedFd<'_>) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = self.descriptors.reopen(directory, flags);
        opened.map_err(named("list a directory"))
    }

    /// Opens what a path means and says what it is.
    fn look(&self, path: &FilePath) -> Result<(OwnedFd, FileStat)> {
        let look = || -> io::Result<(OwnedFd, FileStat)> {
            let file = self.open(&path.clean, path.directory)?;
            let stat = rustix::fs::fstat(&file)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if path.directory && kind != FileType::Directory {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            let link_target = match kind {
                FileType::Symlink => self.end_of(&path.clean).to_string_lossy().into_owned(),
                _ => String::new(),
            };
            let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
            let stat = FileStat {
                name: path.name.clone(),
                size: stat.st_size,
                mode: stat.st_mode,
                mtime: (stat.st_mtime, nanoseconds),
                link_target,
            };
            Ok((file, stat))
        };
        look().map_err(|error| not_there(path, &error))
    }

    /// Where a path leads when all links are followed, as far as there is something.
    fn end_of(&self, path: &Path) -> PathBuf {
        let mut links = 0;
        let mut end = PathBuf::from("/");
        let mut rest = components(path);
        while let Some(name) = rest.pop() {
            if name == Path::new("..") {
                end.pop();
                continue;
            }
            let next = end.join(&name);
            let target = self.open(&next, false).ok().and_then(|link| {
                let target = rustix::fs::readlinkat(&link, "", Vec::new()).ok()?;
                target.into_string().ok().map(PathBuf::from)
            });
            match target {
                Some(target) if links < LINKS_MAX => {
                    links += 1;
                    if target.is_absolute() {
                        end = PathBuf::from("/");
                    }
                    rest.extend(components(&target));
                }
                _ => end = next,
            }
        }
        end
    }
}

/// The names of a path, the first one last.
fn components(path: &Path) -> Vec<PathBuf> {
    let names = path.components().rev();
    names
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}
