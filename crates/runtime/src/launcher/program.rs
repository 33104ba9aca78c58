//! The program that becomes a container's process, out of that container's reach.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use sys::mount::{self, Attributes, MountFlags};

/// Numbers below belong to what the child gets.
const FIRST_SPARE_FD: i32 = 16;

/// A program to start.
#[derive(Debug)]
pub(super) struct Program {
    /// What to execute.
    pub(super) path: PathBuf,
    _mount: Option<OwnedFd>,
}

impl Program {
    /// A view of the program that nobody writes through, and that is mounted nowhere: a container that gets hold of
    /// `/proc/PID/exe` of the process that joins it cannot change the machine's program (CVE-2019-5736). Where that is
    /// not possible, as for a test without root, it is the path itself.
    pub(super) fn open(path: &Path) -> Program {
        match read_only(path) {
            Ok(view) => Program {
                path: PathBuf::from(format!("/proc/self/fd/{}", view.as_raw_fd())),
                _mount: Some(view),
            },
            Err(_) => Program {
                path: path.to_owned(),
                _mount: None,
            },
        }
    }
}

fn read_only(path: &Path) -> std::io::Result<OwnedFd> {
    let tree = mount::open_tree_clone_at(CWD, path, false)?;
    let read_only = Attributes::set(MountFlags::RDONLY);
    mount::set_attributes_fd(tree.as_fd(), read_only, false)?;
    Ok(rustix::io::fcntl_dupfd_cloexec(&tree, FIRST_SPARE_FD)?)
}
