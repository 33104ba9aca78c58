//! `SecurityOpt`, `Privileged`, masked and read-only paths; seccomp profiles in Docker's own JSON.

use engine_api::{Error, HostConfig, Result};
use runtime::apparmor::UNCONFINED;
use runtime::oci::{Seccomp, SeccompArg, SeccompSyscall};
use serde::Deserialize;

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
/// Longest seccomp profile that is read, in bytes; Docker's own has some 20 KB.
const PROFILE_MAX: usize = 1024 * 1024;

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<SeccompArg>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// Reads a profile in Docker's format for a container with these capabilities.
pub(crate) fn parse_profile(json: &str, capabilities: &[String]) -> Result<Seccomp> {
    let refuse =
        |why: String| Error::bad_parameter(format!("Decoding seccomp profile failed: {why}"));
    if json.len() > PROFILE_MAX {
        return Err(refuse(format!("longer than {PROFILE_MAX} bytes")));
    }
    let profile: Profile = serde_json::from_str(json).map_err(|error| refuse(error.to_string()))?;
    let (native, short) = if cfg!(target_arch = "aarch64") {
        ("SCMP_ARCH_AARCH64", "arm64")
    } else {
        ("SCMP_ARCH_X86_64", "amd64")
    };
    let mut architectures = profile.architectures.unwrap_or_default();
    for map in profile
        .arch_map
        .into_iter()
        .flatten()
        .filter(|map| map.architecture == native)
    {
        architectures.push(map.architecture);
        architectures.extend(map.sub_architectures.into_iter().flatten());
    }
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.into_iter().flatten() {
        let included = rule
            .includes
            .as_ref()
            .is_none_or(|condition| holds(condition, capabilities, short));
        let excluded = rule
            .excludes
            .as_ref()
            .is_some_and(|condition| excludes(condition, capabilities, short));
        if !included || excluded {
            continue;
        }
        let names: Vec<String> = rule
            .name
            .into_iter()
            .chain(rule.names.into_iter().flatten())
            .collect();
        if names.is_empty() {
            return Err(refuse("a rule names no system call".to_owned()));
        }
        syscalls.push(SeccompSyscall {
            names,
            action: rule.action,
            errno_ret: rule.errno_ret,
            args: rule.args.unwrap_or_default(),
        });
    }
    architectures.retain(|name| name != native);
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures,
        flags: profile.flags.unwrap_or_default(),
        syscalls,
    })
}

/// Whether all that `includes` names is there.
fn holds(condition: &Condition, capabilities: &[String], architecture: &str) -> bool {
    let caps = condition
        .caps
        .iter()
        .flatten()
        .all(|name| capabilities.contains(name));
    let arches = condition
        .arches
        .as_ref()
        .is_none_or(|list| list.is_empty() || list.iter().any(|name| name == architecture));
    caps && arches && condition.min_kernel.as_deref().is_none_or(kernel_at_least)
}

/// Whether anything that `excludes` names is there.
fn excludes(condition: &Condition, capabilities: &[String], architecture: &str) -> bool {
    condition
        .caps
        .iter()
        .flatten()
        .any(|name| capabilities.contains(name))
        || condition
            .arches
            .iter()
            .flatten()
            .any(|name| name == architecture)
        || condition.min_kernel.as_deref().is_some_and(kernel_at_least)
}

fn kernel_at_least(wanted: &str) -> bool {
    let parse = |text: &str| {
        let mut numbers = text
            .split(|letter: char| !letter.is_ascii_digit())
            .map(|digits| digits.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    };
    parse(&sys::kernel_release()) >= parse(wanted)
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

    #[test]
    fn a_profiles_conditions_are_weighed() {
        let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["read"],"action":"SCMP_ACT_ALLOW"},
            {"name":"clone3","action":"SCMP_ACT_ERRNO","errnoRet":38,"excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        let names = |capabilities: &[String]| -> Vec<String> {
            parse_profile(json, capabilities)
                .unwrap()
                .syscalls
                .into_iter()
                .flat_map(|rule| rule.names)
                .collect()
        };
        assert_eq!(names(&[]), ["read", "clone3"]);
        assert_eq!(names(&["CAP_SYS_ADMIN".to_owned()]), ["mount", "read"]);
    }
}
