//! The first process of a container, from its first instruction to the last before its program's.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::namespace::{self, CloneFlags};
use sys::process;
use sys::regular::Descriptors;
use sys::rooted::Root;

use super::kernel::{Kernel, Parameters};
use super::{
    Engine, Role, account, devices, directory, finish, lookup, mounts, namespaces, paths, rootfs,
    terminal,
};
use crate::error::{Error, Result};
use crate::oci::{self, Linux, NamespaceType, Spec};
use crate::protocol::{Report, START};

pub(super) fn run(
    engine: &Engine,
    bundle: &Path,
    spec: &Spec,
    cgroup: Option<OwnedFd>,
) -> Result<Role> {
    let mut process = spec
        .process
        .clone()
        .ok_or_else(|| Error::other("the container has no process"))?;
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    finish::set_oom_score(&process)?;
    if let namespaces::Side::Helper =
        namespaces::join(engine, linux, cgroup.as_ref().map(AsFd::as_fd))?
    {
        return Ok(Role::Helper);
    }
    drop(cgroup);
    process::setsid()?;
    process::new_session_keyring()?;
    let profile = finish::open_apparmor(&process)?;
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
    let (kernel, tty) = build_root(bundle, spec, linux, &mut process)?;
    let root = Root::open(Path::new("/"))?;
    let cwd = directory::enter(&root, &process, true)?;
    let parameters = match linux.sysctl.is_empty() {
        true => None,
        false => Some(kernel.parameters()?),
    };
    set_sysctls(parameters.as_ref(), linux, false)?;
    paths::confine(&kernel, &root, &linux.readonly_paths, &linux.masked_paths)?;
    drop((kernel, root));
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        rootfs::make_readonly()?;
    }
    let program = lookup::find(&process, &cwd)?;
    engine.report(
        &Report::Created,
        &tty.iter().map(|tty| tty.master.as_fd()).collect::<Vec<_>>(),
    )?;
    let slave = tty.map(|tty| tty.slave);
    engine.expect(START)?;
    set_sysctls(parameters.as_ref(), linux, true)?;
    let error = finish::become_program(&process, linux.seccomp.as_ref(), &program, slave, profile);
    Err(error)
}

/// Sets the parameters of the container's network, or all others. Those of a link exist only once the engine has made it, and
/// what is set for all links must reach it, so they wait for the start.
fn set_sysctls(parameters: Option<&Parameters>, linux: &Linux, network: bool) -> Result<()> {
    for (name, value) in &linux.sysctl {
        let of_network = sys::sysctl::path(name)?.starts_with("/proc/sys/net");
        if let Some(parameters) = parameters
            && of_network == network
        {
            parameters.set(name, value)?;
        }
    }
    Ok(())
}

/// Mounts everything and makes it the root.
fn build_root(
    bundle: &Path,
    spec: &Spec,
    linux: &Linux,
    process: &mut oci::Process,
) -> Result<(Kernel, Option<sys::tty::Pty>)> {
    let root_path = spec
        .root
        .as_ref()
        .map(|root| root.path.as_str())
        .filter(|path| !path.is_empty());
    let root_path =
        bundle.join(root_path.ok_or_else(|| Error::other("the container has no root"))?);
    // Of the machine's proc: the container's is not trusted before it is checked.
    let descriptors = Descriptors::here()?;
    // What is made here has exactly the modes that are asked for.
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let propagation = rootfs::RootPropagation::parse(&linux.rootfs_propagation)?;
    let root = Root::of(rootfs::prepare(&root_path, propagation)?);
    let mut kernel = Kernel::default();
    for mount in &spec.mounts {
        mounts::apply(&root, bundle, mount, &mut kernel)?;
    }
    kernel.check(&root)?;
    // A /dev of the host, or one that an image's link put elsewhere, gets nothing from here.
    let mut on_dev = spec
        .mounts
        .iter()
        .filter(|mount| mount.destination == "/dev");
    let own_dev = !on_dev.clone().any(mounts::is_bind)
        && (on_dev.next().is_none() || kernel.shows_own(&root, "/dev"));
    if own_dev {
        devices::set_up(&root, linux)?;
    }
    mounts::seal(&kernel, &spec.mounts)?;
    let tty = match process.terminal {
        true => Some(terminal::open_in(&root, &descriptors, process, own_dev)?),
        false => None,
    };
    account::settle(&root, &descriptors, process)?;
    rootfs::enter(root.into_fd(), propagation)?;
    rustix::process::umask(umask);
    Ok((kernel, tty))
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
