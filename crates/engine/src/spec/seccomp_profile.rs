//! Seccomp profiles as Docker's users write them (`--security-opt seccomp=FILE`): rules with conditions, which are weighed for
//! one container.

use engine_api::{Error, Result};
use runtime::oci::{Seccomp, SeccompArg, SeccompSyscall};
use serde::Deserialize;

/// Longest seccomp profile that is read, in bytes; Docker's own has some 20 KB.
const PROFILE_MAX: usize = 1024 * 1024;

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
