//! The process of an exec as the runtime wants it.

use engine_api::{Error, Result};
use runtime::oci;

use super::Exec;
use crate::container::Status;
use crate::spec::{self, security::Security};

/// The process as the runtime wants it, confined as the container is; `apparmor_profile` as in [`spec::Input`].
pub(super) fn exec_process(
    exec: &Exec,
    size: Option<[u32; 2]>,
    apparmor_profile: &str,
) -> Result<(oci::Process, Option<oci::Seccomp>)> {
    let record = exec.container.record();
    if record.state.status != Status::Running {
        return Err(Error::conflict(format!(
            "container {} is not running",
            record.id
        )));
    }
    let (config, host) = (&exec.config, &record.host_config);
    let user = if config.user.is_empty() {
        &record.config.user
    } else {
        &config.user
    };
    let own = spec::choose_capabilities(host)?;
    let security = Security::read(host, &own, apparmor_profile)?;
    let every = || {
        spec::EVERY_CAPABILITY
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    };
    let mut env = spec::process::environment(&record.config, config.tty);
    spec::process::override_with(&mut env, &config.env);
    let cwd = [&config.working_dir, &record.config.working_dir]
        .into_iter()
        .find(|path| !path.is_empty());
    let console_size = size
        .filter(|_| config.tty)
        .map(|[height, width]| oci::ConsoleSize {
            height: u16::try_from(height).unwrap_or(u16::MAX),
            width: u16::try_from(width).unwrap_or(u16::MAX),
        });
    let process = oci::Process {
        terminal: config.tty,
        console_size,
        user: spec::process::user(user, host),
        args: config.cmd.clone().unwrap_or_default(),
        env,
        cwd: cwd.cloned().unwrap_or_else(|| "/".to_owned()),
        capabilities: Some(spec::process::sets(if config.privileged {
            every()
        } else {
            own
        })),
        rlimits: spec::process::rlimits(host),
        no_new_privileges: security.no_new_privileges,
        // Also of a privileged exec: Docker's keeps the container's profile.
        apparmor_profile: security.apparmor_profile,
        oom_score_adj: i32::try_from(host.oom_score_adj).ok(),
    };
    // Also of a privileged exec: Docker's keeps the container's filter, too.
    Ok((process, security.seccomp))
}
