//! `SecurityOpt`, `Privileged`, masked and read-only paths; seccomp profiles in Docker's own JSON.

use engine_api::{Error, HostConfig, Result};
use runtime::apparmor::UNCONFINED;
use runtime::oci::Seccomp;

use super::seccomp_profile::parse_profile;

/// Paths that show too much of the machine: Docker 26's list, which clients compare.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Masked with the default list though inspect does not show it: keystrokes can be timed with it. Later Dockers do so.
const MASKED_TOO: &str = "/proc/interrupts";
/// Paths through which the machine could be changed.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// What `MaskedPaths` means when a client leaves it open.
pub(crate) fn masked_paths() -> Vec<String> {
    MASKED.iter().map(|path| (*path).to_owned()).collect()
}

/// What `ReadonlyPaths` means when a client leaves it open.
pub(crate) fn readonly_paths() -> Vec<String> {
    READ_ONLY.iter().map(|path| (*path).to_owned()).collect()
}

/// One understood option.
#[derive(Debug, PartialEq)]
pub(crate) enum Opt {
    /// `no-new-privileges`.
    NoNewPrivileges(bool),
    /// `seccomp=unconfined`, the default, or a profile.
    Seccomp(Option<String>),
    /// `apparmor=PROFILE`.
    AppArmor(String),
    /// `systempaths=unconfined`.
    SystemPaths,
    /// `label=...`, which without SELinux is taken and means nothing, as in Docker.
    Label,
}

/// Reads one of `SecurityOpt`.
///
/// # Errors
/// 400 for options that are unknown or not done here.
pub(crate) fn parse_option(text: &str) -> Result<Opt> {
    if text == "no-new-privileges" {
        return Ok(Opt::NoNewPrivileges(true));
    }
    let Some((key, value)) = text.split_once(['=', ':']) else {
        return Err(Error::bad_parameter(format!(
            "invalid --security-opt 1: \"{text}\""
        )));
    };
    match (key, value) {
        ("no-new-privileges", "true") => Ok(Opt::NoNewPrivileges(true)),
        ("no-new-privileges", "false") => Ok(Opt::NoNewPrivileges(false)),
        ("seccomp", "unconfined") => Ok(Opt::Seccomp(None)),
        ("seccomp", "builtin") => Ok(Opt::Seccomp(Some(String::new()))),
        ("seccomp", json) => {
            parse_profile(json, &[])?;
            Ok(Opt::Seccomp(Some(json.to_owned())))
        }
        ("apparmor", profile) => Ok(Opt::AppArmor(profile.to_owned())),
        ("systempaths", "unconfined") => Ok(Opt::SystemPaths),
        ("label", _) => Ok(Opt::Label),
        _ => Err(Error::bad_parameter(format!(
            "invalid --security-opt 2: \"{text}\""
        ))),
    }
}

/// The AppArmor profile that a container runs under; `default` if it names none.
pub(crate) fn apparmor_profile(host: &HostConfig, default: &str) -> String {
    if host.privileged {
        // Whatever it names: Docker's rule
        return UNCONFINED.to_owned();
    }
    named_apparmor_profile(host).unwrap_or_else(|| default.to_owned())
}

/// The AppArmor profile that a container names; the last one counts.
pub(crate) fn named_apparmor_profile(host: &HostConfig) -> Option<String> {
    let named = |option: &String| match parse_option(option) {
        Ok(Opt::AppArmor(profile)) => Some(profile),
        _ => None,
    };
    host.security_opt
        .iter()
        .flatten()
        .filter_map(named)
        .next_back()
        .filter(|profile| !profile.is_empty())
}

/// The confinement of one container.
#[derive(Debug, Default)]
pub(crate) struct Security {
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Option<Seccomp>,
    pub(crate) apparmor_profile: String,
    pub(crate) masked_paths: Vec<String>,
    pub(crate) readonly_paths: Vec<String>,
}

impl Security {
    /// Reads the confinement of a container with these capabilities. `apparmor` is the profile if it names none.
    ///
    /// # Errors
    /// 400 as [`parse_option`].
    pub(crate) fn read(host: &HostConfig, capabilities: &[String], apparmor: &str) -> Result<Self> {
        let mut security = Self {
            apparmor_profile: apparmor_profile(host, apparmor),
            masked_paths: host.masked_paths.clone().unwrap_or_else(masked_paths),
            readonly_paths: host.readonly_paths.clone().unwrap_or_else(readonly_paths),
            ..Self::default()
        };
        if security.masked_paths == masked_paths() {
            security.masked_paths.push(MASKED_TOO.to_owned());
        }
        let mut profile = Some(String::new());
        for option in host.security_opt.iter().flatten() {
            match parse_option(option)? {
                Opt::NoNewPrivileges(on) => security.no_new_privileges = on,
                Opt::Seccomp(chosen) => profile = chosen,
                Opt::SystemPaths => {
                    security.masked_paths.clear();
                    security.readonly_paths.clear();
                }
                Opt::AppArmor(_) | Opt::Label => {}
            }
        }
        if host.privileged {
            security.masked_paths.clear();
            security.readonly_paths.clear();
            // A privileged container has a filter only if it asks for one by name.
            profile = profile.filter(|json| !json.is_empty());
        }
        security.seccomp = match profile {
            None => None,
            Some(json) if json.is_empty() => Some(runtime::seccomp_default(capabilities)),
            Some(json) => Some(parse_profile(&json, capabilities)?),
        };
        Ok(security)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        assert_eq!(
            parse_option("no-new-privileges:true").unwrap(),
            Opt::NoNewPrivileges(true)
        );
        assert_eq!(
            parse_option("seccomp=unconfined").unwrap(),
            Opt::Seccomp(None)
        );
        for label in ["label=disable", "label:type:x_t", "label="] {
            assert_eq!(parse_option(label).unwrap(), Opt::Label, "{label}");
        }
        for bad in [
            "",
            "seccomp",
            "seccomp={",
            "label",
            "fly=high",
            "no-new-privileges=perhaps",
        ] {
            assert_eq!(parse_option(bad).unwrap_err().status, 400, "{bad}");
        }
    }

    #[test]
    fn the_last_apparmor_profile_counts() {
        let options = ["apparmor=a", "no-new-privileges", "apparmor:b"];
        let host = |options: &[&str]| HostConfig {
            security_opt: Some(options.iter().map(|text| (*text).to_owned()).collect()),
            ..HostConfig::default()
        };
        assert_eq!(apparmor_profile(&host(&options), "default"), "b");
        assert_eq!(
            apparmor_profile(&host(&options[1..2]), "default"),
            "default"
        );
        assert_eq!(
            apparmor_profile(&host(&["apparmor="]), "default"),
            "default"
        );
        let privileged = HostConfig {
            privileged: true,
            ..host(&options)
        };
        assert_eq!(apparmor_profile(&privileged, "default"), "unconfined");
    }

    #[test]
    fn privileged_means_unconfined() {
        let host = HostConfig {
            privileged: true,
            ..HostConfig::default()
        };
        let security = Security::read(&host, &[], "").unwrap();
        assert!(
            security.seccomp.is_none()
                && security.masked_paths.is_empty()
                && security.readonly_paths.is_empty()
        );
        assert!(
            Security::read(&HostConfig::default(), &[], "")
                .unwrap()
                .seccomp
                .is_some()
        );
    }
}
