//! An OCI runtime: from a bundle to a process (OCI Runtime Specification 1.1).
//!
//! The engine's side ([`NativeRuntime`]) makes one clone3(2) and one execve(2), which runs its own program; that child
//! ([`main`]) is the container's first process from the start: it sets itself up, says so, waits for the word, and
//! becomes the container's program. PID 1 waits on a socket only, always with a deadline. Nothing of the set-up is
//! done in PID 1's own process, whose root, directory, oom score and descriptors stay as they are.
//!
//! ```text
//! engine                               child
//! clone3 + execve -------------------> runtime create
//! (id maps, cgroup) -- go -----------> namespaces, mounts, /dev, pivot_root
//!                   <- created, tty -- program found
//! network attached  -- start --------> limits, user, capabilities, seccomp, execve
//!                   <- closed --------
//! ```
//!
//! **Belongs here:** what happens between a specification ([`oci`]) and a running process, the profiles that confine it
//! ([`apparmor`], [`seccomp_default`]) and the limits of its cgroup.
//!
//! **Not here:** this crate does not know Docker's API, images, networks or volumes, keeps no state on disk and restarts nothing.
//!
//! **May import:** `json-reader`, `sys` of our crates.

pub mod apparmor;
mod child;
mod confine;
mod error;
mod launcher;
mod nodes;
pub mod oci;
mod protocol;
mod resources;
mod seccomp_profile;
mod sysctls;

use std::os::fd::OwnedFd;
use std::path::Path;

use sys::process::Pidfd;

pub use child::{Account, check_filter, docker_init, main};
pub use confine::Confinement;
pub use error::{Error, ErrorKind, Result};
pub use launcher::{NativeRuntime, RuntimeOptions};
pub use nodes::{node_in_dev, nodes_of_dev};
pub use protocol::{Found, LookAt, MountRequest};
pub use resources::apply as apply_resources;
pub use seccomp_profile::seccomp_default;
pub use sysctls::namespace_of_sysctl;

/// Standard streams of a process.
#[derive(Debug)]
pub enum Stdio {
    /// /dev/null for all three.
    Null,
    /// These, each given to the process and closed here.
    Pipes {
        /// What it reads; /dev/null if `None`.
        stdin: Option<OwnedFd>,
        /// Its standard output.
        stdout: OwnedFd,
        /// Its standard error.
        stderr: OwnedFd,
    },
    /// A pseudo-terminal, whose master comes back in [`Process::console`].
    Tty,
}

/// A container to create.
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// Its id, for error texts.
    pub id: &'a str,
    /// Directory in which `config.json` is written; relative root paths start here.
    pub bundle: &'a Path,
    /// What it is. Whether it has a terminal is `stdio`'s to say.
    pub spec: &'a oci::Spec,
    /// Its standard streams.
    pub stdio: Stdio,
    /// Directory of its cgroup (v2), made if it is missing. `None`: it stays in the engine's.
    pub cgroup: Option<&'a Path>,
}

/// A process to start in a running container.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// The container's first process; its namespaces are joined.
    pub target: &'a Pidfd,
    /// What runs.
    pub process: &'a oci::Process,
    /// The container's system call filter; it holds for this process too.
    pub seccomp: Option<&'a oci::Seccomp>,
    /// Its standard streams.
    pub stdio: Stdio,
    /// The container's cgroup.
    pub cgroup: Option<&'a Path>,
}

/// A process in a container. It waits for [`Runtime::start`]; when this is dropped before, it exits.
#[derive(Debug)]
pub struct Process {
    /// Its number, as the engine sees it. It is the engine's child: the engine reaps it.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: Pidfd,
    /// The master of its pseudo-terminal, with [`Stdio::Tty`].
    pub console: Option<OwnedFd>,
    /// Limits that this machine cannot enforce, in words.
    pub warnings: Vec<String>,
    control: Option<launcher::Control>,
}

impl Process {
    /// A child that an earlier program of this process has started and that runs, or has ended and was not reaped.
    ///
    /// # Errors
    /// There is no such process.
    pub fn adopt(pid: i32) -> sys::Result<Self> {
        Ok(Self {
            pid,
            pidfd: Pidfd::open(pid)?,
            console: None,
            warnings: Vec::new(),
            control: None,
        })
    }
}

/// What starts containers. Implementations can be swapped and compared.
#[expect(
    async_fn_in_trait,
    reason = "the engine has one thread and its futures never leave it"
)]
pub trait Runtime {
    /// Makes a container up to the point where its program could start: namespaces exist, file systems are mounted, the
    /// program was found.
    ///
    /// # Errors
    /// What the machine refuses; a program that is missing or not executable ([`ErrorKind`]). Nothing is left behind.
    async fn create(&self, request: CreateRequest<'_>) -> Result<Process>;

    /// Lets the program of a created or exec'd process run.
    ///
    /// # Errors
    /// When execve(2) or the last steps before it fail; the process has then ended.
    async fn start(&self, process: &mut Process) -> Result<()>;

    /// Makes another process in a running container, up to the same point: [`Runtime::start`] lets it run.
    ///
    /// # Errors
    /// As for [`Runtime::create`].
    async fn exec(&self, request: ExecRequest<'_>) -> Result<Process>;

    /// Kills what is left in a container's cgroup and removes it.
    ///
    /// # Errors
    /// When something in it does not die.
    async fn delete(&self, cgroup: &Path) -> Result<()>;
}
