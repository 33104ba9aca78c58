//! What a worker sees: a container's files or parts of the store as its whole file system, and nothing else of the machine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_image::error::{Context, Error, Result};
use oci_image::task::{View, ViewMount};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use sys::mount::{self, Attributes, MountFlags, Propagation, UnmountFlags};
use sys::namespace::{CloneFlags, unshare};
use sys::rooted::{Root, kind};

/// On every mount: no device can be opened and nothing gains rights, whatever a container has put there.
fn guarded() -> MountFlags {
    MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC
}

/// Adds the object's name to an error of crate sys.
pub(crate) fn named(what: impl Into<String>) -> impl FnOnce(sys::Error) -> Error {
    move |error| Error::io(what, io::Error::from(error))
}

/// Makes a container's files the root of this process. What a container that runs does meanwhile leads nowhere else.
pub(crate) fn enter_container(view: &View) -> Result<()> {
    own_mounts()?;
    let shown = view.root.display();
    let root = mount::open_tree_clone_at(CWD, &view.root, false)
        .map_err(named(format!("open {shown}")))?;
    guard(root.as_fd(), true, false)?;
    mount::move_mount_fd(&root, &view.root).map_err(named(format!("mount {shown}")))?;
    let root = Root::of(root);
    for one in &view.mounts {
        attach(&root, one)?;
    }
    if !view.writable {
        guard(root.as_fd(), false, false)?;
    }
    pivot(root.as_fd())
}

/// Makes a root with only these directories, at the paths that they have, and this process's descriptors in /proc. The
/// second value says whether the directory may be written to. What is not there is left out.
pub(crate) fn enter_directories(shown: &[(&Path, bool)]) -> Result<()> {
    own_mounts()?;
    let mut trees = vec![(
        PathBuf::from("/proc/self/fd"),
        clone("/proc/self/fd".as_ref())?,
    )];
    for (path, writable) in shown {
        match clone(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            tree => {
                let tree = tree?;
                guard(tree.as_fd(), *writable, false)?;
                trees.push(((*path).to_owned(), tree));
            }
        }
    }
    let root = mount::create("tmpfs", "tmpfs", guarded(), "mode=0755,size=1m")
        .map_err(named("make a root directory"))?;
    // Any directory will do: nothing below it is looked for any more.
    mount::move_mount_fd(&root, "/proc").map_err(named("mount a root directory"))?;
    let root = Root::of(root);
    for (path, tree) in trees {
        let point = root
            .ensure_directory(&path, 0o755)
            .map_err(named(format!("make {}", path.display())))?;
        mount::move_mount_to(tree.as_fd(), point.as_fd())
            .map_err(named(format!("mount {}", path.display())))?;
    }
    guard(root.as_fd(), false, false)?;
    pivot(root.as_fd())
}

/// A mount namespace of this process's own, in which nothing reaches the machine's.
fn own_mounts() -> Result<()> {
    unshare(CloneFlags::NEWNS).map_err(named("leave the machine's mounts"))?;
    mount::set_propagation("/", Propagation::Private, true)
        .map_err(named("leave the machine's mounts"))
}

fn clone(path: &Path) -> Result<OwnedFd> {
    mount::open_tree_clone_at(CWD, path, false).map_err(named(format!("open {}", path.display())))
}

fn guard(mount: BorrowedFd<'_>, writable: bool, recursive: bool) -> Result<()> {
    let read_only = match writable {
        true => MountFlags::default(),
        false => MountFlags::RDONLY,
    };
    let attributes = Attributes {
        set: guarded() | read_only,
        propagation: Some(Propagation::Private),
        ..Attributes::default()
    };
    mount::set_attributes_fd(mount, attributes, recursive).map_err(named("restrict a mount"))
}

/// Makes `root`, which is mounted, the root of this process, and leaves everything else.
fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    let what = || "change the root".to_owned();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).context(what)?;
    rustix::process::fchdir(root).context(what)?;
    // The old root is put on top of the new one, so it needs no directory in it (pivot_root(2), notes).
    mount::pivot_root(".", ".").map_err(named(what()))?;
    rustix::process::fchdir(&old).context(what)?;
    mount::unmount(".", UnmountFlags::DETACH).map_err(named(what()))?;
    rustix::process::chdir("/").context(what)
}

fn attach(root: &Root, one: &ViewMount) -> Result<()> {
    let what = || format!("show {}", one.destination.display());
    let source = match open_below(&one.source, &one.subpath) {
        // As in Docker, a source that is gone does not keep the rest from being copied.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source.map_err(|error| Error::io(what(), error))?,
    };
    // One that the image lacks is made, as a start would.
    let target = match is_directory(&source) {
        true => root.ensure_directory(&one.destination, 0o755),
        false => root.ensure_file(&one.destination, 0o644),
    };
    let target = target.map_err(named(what()))?;
    let tree =
        mount::open_tree_clone_at(source.as_fd(), "", one.recursive).map_err(named(what()))?;
    guard(tree.as_fd(), one.writable, true)?;
    mount::move_mount_to(tree.as_fd(), target.as_fd()).map_err(named(what()))
}

/// Opens, O_PATH, what `path` is below `base`, a directory or file of the host that the engine named.
pub(crate) fn open_below(base: &Path, path: &Path) -> io::Result<OwnedFd> {
    let opened = rustix::fs::open(base, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if path.as_os_str().is_empty() {
        return Ok(opened);
    }
    Ok(sys::fs::open_beneath(opened.as_fd(), path)?)
}

pub(crate) fn is_directory(file: &OwnedFd) -> bool {
    kind(file.as_fd()).is_ok_and(FileType::is_dir)
}
