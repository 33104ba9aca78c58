//! The last steps: limits, user, capabilities, filter, program.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid, fstat};
use sys::capability::{self, CapSet, Sets};
use sys::process;

use super::filter;
use super::paths::is_null;
use crate::apparmor;
use crate::error::{Error, Result};
use crate::oci::{self, Capabilities, Seccomp};

/// Writes oom_score_adj through the engine's /proc, before that is out of sight.
pub(super) fn set_oom_score(process: &oci::Process) -> Result<()> {
    let Some(score) = process.oom_score_adj else {
        return Ok(());
    };
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
        .map_err(|e| Error::other(format!("set oom_score_adj {score}: {e}")))
}

/// Opens the file that takes the AppArmor profile, through the engine's /proc. `None`: no profile is asked for, or the
/// kernel has no AppArmor.
pub(super) fn open_apparmor(process: &oci::Process) -> Result<Option<File>> {
    let profile = process.apparmor_profile.as_str();
    if profile.is_empty() || profile == apparmor::UNCONFINED || !apparmor::is_enabled() {
        return Ok(None);
    }
    let open = |path: &str| OpenOptions::new().write(true).open(path);
    open("/proc/thread-self/attr/apparmor/exec")
        .or_else(|_| open("/proc/thread-self/attr/exec"))
        .map(Some)
        .map_err(|e| Error::other(format!("open the AppArmor attribute: {e}")))
}

/// Becomes the program. Returns only an error.
pub(super) fn become_program(
    process: &oci::Process,
    seccomp: Option<&Seccomp>,
    program: &Path,
    slave: Option<OwnedFd>,
    profile: Option<File>,
) -> Error {
    match confine(process, seccomp, slave, profile) {
        Err(error) => error,
        Ok(()) => {
            let args: Vec<OsString> = process.args.iter().map(OsString::from).collect();
            let env: Vec<OsString> = process.env.iter().map(OsString::from).collect();
            let error = process::exec(program, &args, &env);
            Error::of_exec(&process.args[0], &error.source)
        }
    }
}

fn confine(
    process: &oci::Process,
    seccomp: Option<&Seccomp>,
    slave: Option<OwnedFd>,
    profile: Option<File>,
) -> Result<()> {
    set_streams(process, slave)?;
    for limit in &process.rlimits {
        process::set_rlimit(&limit.kind, limit.soft, limit.hard)?;
    }
    if let Some(mut file) = profile {
        file.write_all(format!("exec {}", process.apparmor_profile).as_bytes())
            .map_err(|e| {
                Error::other(format!(
                    "AppArmor profile {:?}: {e}",
                    process.apparmor_profile
                ))
            })?;
    }
    let filter = seccomp.map(filter::build).transpose()?.flatten();
    let log = seccomp.is_some_and(|seccomp| {
        seccomp
            .flags
            .iter()
            .any(|flag| flag == "SECCOMP_FILTER_FLAG_LOG")
    });
    rustix::process::umask(Mode::from_raw_mode(process.user.umask.unwrap_or(0o022)));
    process::close_on_exec_from(3)?;
    sys::signal::reset_all()?;
    if process.no_new_privileges {
        process::set_no_new_privs()?;
    }
    let wanted = Wanted::new(process.capabilities.as_ref())?;
    capability::limit_bounding(wanted.bounding)?;
    capability::keep_over_setuid(true)?;
    process::set_user(
        process.user.uid,
        process.user.gid,
        &process.user.additional_gids,
    )?;
    let Some(filter) = filter else {
        return wanted.set();
    };
    if process.no_new_privileges {
        wanted.set()?;
        return Ok(filter.install(log)?);
    }
    // Without no_new_privs the filter needs CAP_SYS_ADMIN for one moment more; then one capset(2) under the filter.
    wanted.set_with(CapSet::SYS_ADMIN)?;
    filter.install(log)?;
    wanted.drop_to()
}

/// The capability sets that the program starts with, as far as this process has them itself.
struct Wanted {
    bounding: CapSet,
    sets: Sets,
    ambient: CapSet,
}

impl Wanted {
    fn new(capabilities: Option<&Capabilities>) -> Result<Wanted> {
        let own = capability::get()?;
        let Some(capabilities) = capabilities else {
            let all = CapSet(u64::MAX);
            let sets = Sets {
                effective: own.permitted,
                ..own
            };
            return Ok(Wanted {
                bounding: all,
                sets,
                ambient: CapSet::default(),
            });
        };
        // Unknown names are newer than this program, and so are what they would allow.
        let set = |names: &[String]| CapSet::from_names(names).0.and(own.permitted);
        let permitted = set(&capabilities.permitted);
        let inheritable = set(&capabilities.inheritable);
        Ok(Wanted {
            bounding: CapSet::from_names(&capabilities.bounding).0,
            sets: Sets {
                effective: set(&capabilities.effective).and(permitted),
                permitted,
                inheritable,
            },
            ambient: set(&capabilities.ambient).and(permitted).and(inheritable),
        })
    }

    fn set(&self) -> Result<()> {
        self.set_with(CapSet::default())
    }

    fn set_with(&self, more: CapSet) -> Result<()> {
        capability::set(Sets {
            effective: self.sets.effective.or(more),
            permitted: self.sets.permitted.or(more),
            inheritable: self.sets.inheritable,
        })?;
        Ok(capability::set_ambient(self.ambient)?)
    }

    fn drop_to(&self) -> Result<()> {
        Ok(capability::set(self.sets)?)
    }
}

/// The three streams: the terminal, or what the engine gave, owned by the program's user.
fn set_streams(process: &oci::Process, slave: Option<OwnedFd>) -> Result<()> {
    if let Some(slave) = slave {
        process::set_controlling_tty(&slave)?;
        for number in 0..3 {
            process::set_stdio(&slave, number)?;
        }
    }
    for number in 0..3 {
        match number {
            0 => own_stream(&std::io::stdin(), number, process.user.uid)?,
            1 => own_stream(&std::io::stdout(), number, process.user.uid)?,
            _ => own_stream(&std::io::stderr(), number, process.user.uid)?,
        }
    }
    Ok(())
}

fn own_stream(stream: &impl AsFd, number: i32, uid: u32) -> Result<()> {
    let Ok(stat) = fstat(stream) else {
        return Ok(());
    };
    if is_null(stream.as_fd()) {
        // The engine's null device becomes the container's, so that /proc/self/fd shows no path of the host.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(null) = rustix::fs::open("/dev/null", flags, Mode::empty())
            && is_null(null.as_fd())
        {
            // Programs find it as they expect it: without O_NONBLOCK.
            let _ = rustix::fs::fcntl_setfl(&null, OFlags::empty());
            process::set_stdio(&null, number)?;
        }
        return Ok(());
    }
    if stat.st_uid != uid {
        // Programs open /dev/stderr again. A file system that knows no owners is fine.
        let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None::<Gid>);
    }
    Ok(())
}
