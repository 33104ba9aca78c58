//! Another process in a running container.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::namespace::{self, CloneFlags};
use sys::process;
use sys::regular::Descriptors;
use sys::rooted::Root;

use super::namespaces::{Side, become_sibling};
use super::{Engine, Role, account, directory, finish, lookup, terminal};
use crate::error::Result;
use crate::oci;
use crate::protocol::{Report, START};

pub(super) fn run(
    engine: &Engine,
    target: OwnedFd,
    mut process: oci::Process,
    seccomp: Option<&oci::Seccomp>,
    cgroup: Option<OwnedFd>,
) -> Result<Role> {
    // From here on this program is visible in the container: nobody there may open it (CVE-2019-5736).
    process::set_dumpable(false)?;
    finish::set_oom_score(&process)?;
    // Process numbers take effect for children only, so the container's process is a child: made as a sibling, and
    // directly in the container's cgroup.
    namespace::setns(&target, CloneFlags::NEWPID)?;
    if let Side::Helper = become_sibling(engine, cgroup.as_ref().map(AsFd::as_fd))? {
        return Ok(Role::Helper);
    }
    drop(cgroup);
    process::setsid()?;
    process::new_session_keyring()?;
    let profile = finish::open_apparmor(&process)?;
    // Of the machine's proc: from the next step on, /proc is the container's.
    let descriptors = Descriptors::here()?;
    join_all(&target)?;
    drop(target);
    let root = Root::open(Path::new("/"))?;
    account::settle(&root, &descriptors, &mut process)?;
    let cwd = directory::enter(&root, &process, false)?;
    let tty = if process.terminal {
        Some(terminal::open_here(&root, &descriptors, &process)?)
    } else {
        None
    };
    drop((root, descriptors));
    let program = lookup::find(&process, &cwd)?;
    engine.report(
        &Report::Created,
        &tty.iter().map(|tty| tty.master.as_fd()).collect::<Vec<_>>(),
    )?;
    let slave = tty.map(|tty| tty.slave);
    engine.expect(START)?;
    Err(finish::become_program(
        &process, seccomp, &program, slave, profile,
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
