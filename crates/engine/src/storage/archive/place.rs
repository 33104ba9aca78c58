//! Where a path of a container is looked for: in its own view while it runs, else in one that is made for the purpose.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::{Error, Result};
use rustix::fs::{Mode, OFlags};
use sys::mount::{self, Attributes, MountFlags, Propagation, UnmountFlags};

use super::blocking;
use crate::Engine;
use crate::container::{Container, MountKind, clean};
use crate::storage::resolve::{Root, descriptor_path, host_path, make_directory};

/// A path in a container and the root that it is resolved in.
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) path: PathBuf,
    /// Mount points and whether they may be written to.
    mounts: Vec<(PathBuf, bool)>,
    read_only: bool,
    /// What `root` leads to.
    _view: Option<View>,
}

/// A root file system with the container's mounts, in a mount namespace that ends with it.
struct View {
    root: OwnedFd,
    _namespace: File,
}

/// A mount of the view.
struct Part {
    source: PathBuf,
    subpath: String,
    destination: PathBuf,
    writable: bool,
    recursive: bool,
}

impl Place {
    /// Opens the root; it is there as long as the place is.
    pub(super) fn open(&self) -> io::Result<Root> {
        Root::open(&self.root)
    }

    /// Refuses what the container itself could not write to. `directory` has been opened in `root`.
    pub(super) fn check_writable(&self, root: &Root, directory: &OwnedFd) -> Result<()> {
        // Links may have led elsewhere: what counts is where the directory is.
        let real = fs::read_link(descriptor_path(directory))?;
        let top = fs::read_link(descriptor_path(&root.open_path(Path::new("/"))?))?;
        let inside = Path::new("/").join(real.strip_prefix(&top).unwrap_or(&real));
        let mounts = self.mounts.iter();
        let covering = mounts
            .filter(|(destination, _)| inside.starts_with(destination))
            .max_by_key(|(destination, _)| destination.as_os_str().len());
        match covering {
            Some((_, false)) => Err(Error::bad_parameter("mounted volume is marked read-only")),
            None if self.read_only => {
                Err(Error::bad_parameter("container rootfs is marked read-only"))
            }
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// Finds the root that a path of the container is resolved in.
    pub(super) async fn place(&self, container: &Rc<Container>, path: &str) -> Result<Place> {
        let pid = container
            .status()
            .is_alive()
            .then(|| container.pid())
            .flatten();
        let parts = parts(container);
        let mut place = {
            let record = container.record();
            let points = record.mounts.iter();
            Place {
                root: PathBuf::new(),
                path: PathBuf::from(clean(path)),
                mounts: points
                    .map(|mount| (PathBuf::from(&mount.destination), mount.writable))
                    .collect(),
                read_only: record.host_config.readonly_rootfs,
                _view: None,
            }
        };
        if let Some(pid) = pid {
            place.root = PathBuf::from(format!("/proc/{pid}/root"));
            return Ok(place);
        }
        self.mount_rootfs(container)?;
        let rootfs = container.layout.rootfs.clone();
        if parts.is_empty() {
            place.root = rootfs;
            return Ok(place);
        }
        let id = container.id.clone();
        let view = blocking(move || {
            view(&rootfs, &parts)
                .map_err(|error| Error::server(format!("view of container {id}: {error}")))
        });
        let view = view.await?;
        place.root = descriptor_path(&view.root);
        place._view = Some(view);
        Ok(place)
    }
}

/// What is mounted in a container that does not run, parents first.
fn parts(container: &Container) -> Vec<Part> {
    let record = container.record();
    let mounts = record.mounts.iter();
    let mut parts: Vec<Part> = mounts
        .filter(|mount| mount.kind != MountKind::Tmpfs)
        .map(|mount| Part {
            source: PathBuf::from(&mount.source),
            subpath: mount.subpath.clone(),
            destination: PathBuf::from(&mount.destination),
            writable: mount.writable,
            recursive: !mount.non_recursive,
        })
        .collect();
    // A running container has these bound over what is in its root file system.
    let own = ["resolv.conf", "hostname", "hosts"].map(|name| Part {
        source: container.layout.directory.join(name),
        subpath: String::new(),
        destination: Path::new("/etc").join(name),
        writable: true,
        recursive: false,
    });
    let taken = |part: &Part| {
        let mut destinations = record.mounts.iter().map(|mount| &mount.destination);
        destinations.any(|destination| part.destination == Path::new(destination))
    };
    parts.extend(own.into_iter().filter(|part| !taken(part)));
    // One that is gone, or not written yet, is not there.
    parts.retain(|part| part.source.exists());
    parts.sort_by_key(|part| part.destination.components().count());
    parts
}

/// Makes the view in a thread of its own: a thread that has left the mount namespace must not serve anything else.
fn view(rootfs: &Path, parts: &[Part]) -> io::Result<View> {
    std::thread::scope(|scope| {
        let maker = scope.spawn(|| {
            sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS)?;
            mount::set_propagation("/", Propagation::Private, true)?;
            leave_others(rootfs)?;
            let root = Root::open(rootfs)?;
            for part in parts {
                attach(rootfs, &root, part)?;
            }
            Ok(View {
                root: root.open_path(Path::new("/"))?,
                _namespace: File::open("/proc/thread-self/ns/mnt")?,
            })
        });
        maker
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("making it panicked")))
    })
}

/// A copy of another container's root file system would keep it in use beyond that container's end.
fn leave_others(rootfs: &Path) -> io::Result<()> {
    let Some(all) = rootfs.parent() else {
        return Ok(());
    };
    for entry in fs::read_dir(all)? {
        let other = entry?.path();
        if other != rootfs {
            // It need not be mounted.
            let _ = mount::unmount(&other, UnmountFlags::DETACH);
        }
    }
    Ok(())
}

fn attach(rootfs: &Path, root: &Root, part: &Part) -> io::Result<()> {
    let source = if part.subpath.is_empty() {
        part.source.clone()
    } else {
        match host_path(&part.source, Path::new(&part.subpath))? {
            Some(source) => source,
            None => return Ok(()),
        }
    };
    let target = match root.open_path(&part.destination) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_point(rootfs, root, &part.destination, source.is_dir())?
        }
        found => found?,
    };
    let tree = mount::open_tree_clone_at(rustix::fs::CWD, &source, part.recursive)?;
    mount::set_attributes_fd(
        tree.as_fd(),
        Attributes {
            set: match part.writable {
                true => MountFlags::default(),
                false => MountFlags::RDONLY,
            },
            propagation: Some(Propagation::Private),
            ..Attributes::default()
        },
        true,
    )?;
    Ok(mount::move_mount_to(tree.as_fd(), target.as_fd())?)
}

/// A mount point that the image lacks, as the start would make it.
fn make_point(rootfs: &Path, root: &Root, path: &Path, directory: bool) -> io::Result<OwnedFd> {
    if directory {
        make_directory(rootfs, path)?;
        return root.open_path(path);
    }
    let above = path.parent().unwrap_or(Path::new("/"));
    make_directory(rootfs, above)?;
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    rustix::fs::openat(root.open_path(above)?, name, flags, mode)?;
    root.open_path(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_view_has_the_mounts_and_leaves_none() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let work = tempfile::tempdir().unwrap();
        let (rootfs, volume) = (work.path().join("all/own"), work.path().join("volume"));
        fs::create_dir_all(&rootfs).unwrap();
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("file"), "in the volume").unwrap();
        symlink("/data", rootfs.join("link")).unwrap();
        let part = |writable| Part {
            source: volume.clone(),
            subpath: String::new(),
            destination: PathBuf::from("/data"),
            writable,
            recursive: true,
        };
        let view = view(&rootfs, &[part(false)]).unwrap();
        let root = Root::open(&descriptor_path(&view.root)).unwrap();
        let file = root.open_path(Path::new("/link/file")).unwrap();
        let text = fs::read_to_string(descriptor_path(&file)).unwrap();
        assert_eq!(text, "in the volume");
        let directory = root.open_path(Path::new("/link")).unwrap();
        let new = descriptor_path(&directory).join("new");
        let refused = fs::write(&new, "").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
        let place = Place {
            root: descriptor_path(&view.root),
            path: PathBuf::from("/link"),
            mounts: vec![(PathBuf::from("/data"), false)],
            read_only: false,
            _view: None,
        };
        let error = place.check_writable(&root, &directory).unwrap_err();
        assert_eq!(error.message, "mounted volume is marked read-only");
        // The mount point is there as after a start, without what is mounted.
        assert_eq!(fs::read_dir(rootfs.join("data")).unwrap().count(), 0);
    }
}
