//! The first process of a container, from its first instruction to the last before its program's.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::namespace::{self, CloneFlags};
use sys::process;

use super::super::error::{Error, Result};
use super::super::oci::{self, Linux, NamespaceType, Spec};
use super::super::protocol::{Report, START};
use super::{Engine, Role, devices, finish, lookup, mounts, namespaces, paths, rootfs, terminal};

pub(super) fn run(
    engine: &Engine,
    bundle: &Path,
    spec: &Spec,
    cgroup: Option<OwnedFd>,
) -> Result<Role> {
    let process = spec
        .process
        .as_ref()
        .ok_or_else(|| Error::other("the container has no process"))?;
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    finish::set_oom_score(process)?;
    if let namespaces::Side::Helper =
        namespaces::join(engine, linux, cgroup.as_ref().map(AsFd::as_fd))?
    {
        return Ok(Role::Helper);
    }
    drop(cgroup);
    process::setsid()?;
    process::new_session_keyring()?;
    let profile = finish::open_apparmor(process)?;
    let is_new = |kind| {
        linux
            .namespace(kind)
            .is_some_and(|namespace| namespace.path.is_empty())
    };
    if is_new(NamespaceType::Network) {
        namespace::loopback_up()?;
    }
    if is_new(NamespaceType::Cgroup) {
        namespace::unshare(CloneFlags::NEWCGROUP)?;
    }
    set_names(spec)?;
    let tty = build_root(bundle, spec, linux)?;
    let cwd = enter_directory(process)?;
    set_sysctls(linux)?;
    paths::make_readonly(&linux.readonly_paths)?;
    paths::mask(&linux.masked_paths)?;
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        rootfs::make_readonly()?;
    }
    let program = lookup::find(process, cwd)?;
    engine.report(
        &Report::Created,
        &tty.iter().map(|tty| tty.master.as_fd()).collect::<Vec<_>>(),
    )?;
    let slave = tty.map(|tty| tty.slave);
    engine.expect(START)?;
    let error = finish::become_program(process, linux.seccomp.as_ref(), &program, slave, profile);
    Err(error)
}

/// Mounts everything and makes it the root.
fn build_root(bundle: &Path, spec: &Spec, linux: &Linux) -> Result<Option<sys::tty::Pty>> {
    let root_path = spec
        .root
        .as_ref()
        .map(|root| root.path.as_str())
        .filter(|path| !path.is_empty());
    let root_path =
        bundle.join(root_path.ok_or_else(|| Error::other("the container has no root"))?);
    // What is made here has exactly the modes that are asked for.
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let propagation = rootfs::RootPropagation::parse(&linux.rootfs_propagation)?;
    let root = rootfs::prepare(&root_path, propagation)?;
    for mount in &spec.mounts {
        mounts::apply(root.as_fd(), bundle, mount)?;
    }
    let own_dev = !spec
        .mounts
        .iter()
        .any(|mount| mounts::is_bind(mount) && mount.destination == "/dev");
    if own_dev {
        devices::set_up(root.as_fd(), linux)?;
    }
    mounts::seal(root.as_fd(), &spec.mounts)?;
    let tty = match &spec.process {
        Some(process) if process.terminal => {
            Some(terminal::open_in(root.as_fd(), process, own_dev)?)
        }
        _ => None,
    };
    rootfs::enter(root, propagation)?;
    rustix::process::umask(umask);
    Ok(tty)
}

fn set_names(spec: &Spec) -> Result<()> {
    if !spec.hostname.is_empty() {
        rustix::system::sethostname(spec.hostname.as_bytes())
            .map_err(|e| Error::other(format!("set hostname {:?}: {e}", spec.hostname)))?;
    }
    if !spec.domainname.is_empty() {
        rustix::system::setdomainname(spec.domainname.as_bytes())
            .map_err(|e| Error::other(format!("set domainname {:?}: {e}", spec.domainname)))?;
    }
    Ok(())
}

/// Makes the working directory if it is missing. It is entered as root, as `docker run` does: a user that may not
/// look into it can still start there.
fn enter_directory(process: &oci::Process) -> Result<&Path> {
    let cwd = if process.cwd.is_empty() {
        Path::new("/")
    } else {
        Path::new(&process.cwd)
    };
    if let Err(error) = fs::create_dir_all(cwd)
        && !cwd.is_dir()
    {
        let reason = match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                "not a directory".to_owned()
            }
            _ => error.to_string(),
        };
        return Err(Error::other(format!("mkdir {}: {reason}", cwd.display())));
    }
    finish::change_directory(cwd)?;
    Ok(cwd)
}

fn set_sysctls(linux: &Linux) -> Result<()> {
    if linux.sysctl.is_empty() {
        return Ok(());
    }
    // An image must not have put a directory of its own in the place of /proc/sys.
    paths::require_proc(Path::new("/proc/sys"))?;
    for (name, value) in &linux.sysctl {
        sys::sysctl::write(name, value)?;
    }
    Ok(())
}
