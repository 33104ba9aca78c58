//! What a worker gives up before it reads the first byte that a stranger wrote: all files, system calls and rights that
//! its task does not need.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_image::error::{Error, Result};
use oci_image::task::{CopyUp, Files, FilesAction, Request, Task, View};
use rustix::fs::OFlags;
use sys::capability::{self, CapSet, Sets};
use sys::process;
use sys::regular::Descriptors;
use sys::seccomp::{self, Action, Arch, Rule};

use crate::view::{self, named};

/// To read any file.
const READ: &[&str] = &["DAC_READ_SEARCH"];
/// To make files of any kind for any owner.
const WRITE: &[&str] = &[
    "DAC_READ_SEARCH",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "MKNOD",
    "SETFCAP",
];
/// For the attributes `trusted.overlay.*` of layers, on top of that.
const LAYERS: &[&str] = &["SYS_ADMIN"];

/// System calls of tasks without a network: files, memory, threads and the end. No program can be started, nothing can
/// be mounted, no socket made and no process signalled.
#[rustfmt::skip]
const CALLS: &[&str] = &[
    // files
    "openat", "openat2", "open", "close", "read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "fcntl",
    "dup", "dup3", "pipe2", "poll", "ppoll", "copy_file_range", "splice", "sendfile", "ftruncate", "fallocate", "fsync",
    "fdatasync", "syncfs", "fstat", "newfstatat", "statx", "stat", "lstat", "fstatfs", "statfs", "getdents64",
    "readlink", "readlinkat", "getcwd", "fadvise64", "access", "faccessat", "faccessat2",
    "mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat", "linkat", "unlink", "unlinkat", "rmdir", "rename",
    "renameat", "renameat2", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "utimensat", "umask",
    "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr", "setxattr", "lsetxattr", "fsetxattr",
    // memory and threads
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "clone", "clone3", "set_robust_list", "rseq",
    "sched_yield", "sched_getaffinity", "prctl", "gettid", "getpid", "getrandom", "sigaltstack", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "tgkill", "clock_gettime", "clock_nanosleep", "restart_syscall",
    // the end
    "exit", "exit_group",
];

/// What a confined task works on.
pub(crate) struct World {
    /// The volume of a [`CopyUp`], which is not in the file system that the process sees.
    pub(crate) volume: Option<OwnedFd>,
    /// The machine's /proc, as far as it is about this process's descriptors.
    pub(crate) descriptors: Descriptors,
}

/// Gives up what the task does not need, for good. Call with one thread.
///
/// # Errors
/// When something cannot be given up: the task must then not be done.
pub(crate) fn confine(request: &Request) -> Result<World> {
    // PID 1 may be out of the reach of the OOM killer. This process must not be: what it reads decides what it needs.
    // Where that needs a right that a developer does not have, it stays as it is.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    let mut world = World {
        volume: None,
        descriptors: Descriptors::here().map_err(named("find the descriptors"))?,
    };
    let (rights, network) = match &request.task {
        Task::Files(Files { view, action }) => {
            view::enter_container(view)?;
            match action {
                FilesAction::Write { .. } => (rights(&[WRITE]), false),
                _ => (rights(&[READ]), false),
            }
        }
        Task::CopyUp(task) => {
            world.volume = copy_up(task)?;
            (rights(&[WRITE]), false)
        }
        Task::Commit { upper, .. } => {
            view::enter_directories(&[(&request.root, true), (upper, false)])?;
            (rights(&[WRITE, LAYERS]), false)
        }
        Task::Load | Task::Save { .. } | Task::Import { url: None, .. } => {
            let layers = request.external.values();
            let mut shown: Vec<(&Path, bool)> = vec![(&request.root, true)];
            shown.extend(layers.map(|path| (path.as_path(), false)));
            view::enter_directories(&shown)?;
            (rights(&[WRITE, LAYERS]), false)
        }
        // Into root's own folder; where it is in the file system is the caller's to say.
        Task::FetchFiles { .. } | Task::Tags(_) => (rights(&[]), true),
        // Names, certificates and routes are all over the machine.
        _ => (rights(&[WRITE, LAYERS]), true),
    };
    give_up(rights, network)?;
    Ok(world)
}

/// The image's files become all files; the volume stays open.
fn copy_up(task: &CopyUp) -> Result<Option<OwnedFd>> {
    let what = || format!("open volume {}", task.volume.display());
    let opened = match view::open_below(&task.volume, &task.subpath) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        opened => Some(opened.map_err(|error| Error::io(what(), error))?),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let volume = opened
        .filter(view::is_directory)
        .map(|opened| sys::fs::open_in_root_with(opened.as_fd(), Path::new("."), flags))
        .transpose()
        .map_err(named(what()))?;
    view::enter_container(&View {
        root: task.root.clone(),
        ..View::default()
    })?;
    Ok(volume)
}

fn rights(names: &[&[&str]]) -> CapSet {
    CapSet::from_names(&names.concat()).0
}

fn give_up(rights: CapSet, network: bool) -> Result<()> {
    let what = "give up rights";
    capability::limit_bounding(rights).map_err(named(what))?;
    capability::set(Sets {
        effective: rights,
        permitted: rights,
        inheritable: CapSet::default(),
    })
    .map_err(named(what))?;
    process::set_no_new_privs().map_err(named(what))?;
    if network {
        return Ok(());
    }
    let allowed = Rule {
        names: CALLS.iter().map(|name| (*name).to_owned()).collect(),
        action: Action::Allow,
        conditions: Vec::new(),
    };
    // An errno and not a signal: what is missing here shows as an error and not as a worker that died.
    let refused = Action::Errno(1);
    seccomp::assemble(&[Arch::native()], refused, &[allowed])
        .and_then(|filter| filter.install(false))
        .map_err(named(what))
}
