//! Another process in a running container.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::namespace::{self, CloneFlags};
use sys::process;

use super::super::error::Result;
use super::super::oci;
use super::super::protocol::{Report, START};
use super::namespaces::{Side, become_sibling};
use super::{Engine, Role, finish, lookup, terminal};

pub(super) fn run(
    engine: &Engine,
    target: OwnedFd,
    process: &oci::Process,
    seccomp: Option<&oci::Seccomp>,
    cgroup: Option<OwnedFd>,
) -> Result<Role> {
    // From here on this program is visible in the container: nobody there may open it (CVE-2019-5736).
    process::set_dumpable(false)?;
    finish::set_oom_score(process)?;
    // Process numbers take effect for children only, so the container's process is a child: made as a sibling, and
    // directly in the container's cgroup.
    namespace::setns(&target, CloneFlags::NEWPID)?;
    if let Side::Helper = become_sibling(engine, cgroup.as_ref().map(AsFd::as_fd))? {
        return Ok(Role::Helper);
    }
    drop(cgroup);
    process::setsid()?;
    process::new_session_keyring()?;
    let profile = finish::open_apparmor(process)?;
    join_all(&target)?;
    drop(target);
    let cwd = if process.cwd.is_empty() {
        Path::new("/")
    } else {
        Path::new(&process.cwd)
    };
    finish::change_directory(cwd)?;
    let tty = if process.terminal {
        Some(terminal::open_here(process)?)
    } else {
        None
    };
    let program = lookup::find(process, cwd)?;
    engine.report(
        &Report::Created,
        &tty.iter().map(|tty| tty.master.as_fd()).collect::<Vec<_>>(),
    )?;
    let slave = tty.map(|tty| tty.slave);
    engine.expect(START)?;
    Err(finish::become_program(
        process, seccomp, &program, slave, profile,
    ))
}

/// Joins the target's other namespaces at once. The user namespace is among them only if it is another one: joining
/// one's own is an error (setns(2), EINVAL).
fn join_all(target: &OwnedFd) -> Result<()> {
    let others = CloneFlags::NEWNS
        | CloneFlags::NEWUTS
        | CloneFlags::NEWIPC
        | CloneFlags::NEWNET
        | CloneFlags::NEWCGROUP;
    match namespace::setns(target, others | CloneFlags::NEWUSER) {
        Ok(()) => Ok(process::set_user(0, 0, &[])?),
        Err(error) if error.errno() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            Ok(namespace::setns(target, others)?)
        }
        Err(error) => Err(error.into()),
    }
}
