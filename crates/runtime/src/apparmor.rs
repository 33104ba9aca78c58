//! AppArmor: the profile that containers run under unless they name another one (apparmor(7)).
//!
//! Its policy is compiled when the system is built, so that no compiler is in the boot path. The name is Docker's own: User
//! Docker finds the profile loaded and uses it as well.

use std::fs;
use std::path::Path;

/// The profile of containers that name none.
pub const DEFAULT: &str = "docker-default";
/// No profile.
pub const UNCONFINED: &str = "unconfined";

/// `Y` in a kernel that enforces AppArmor, or no such file.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// One line for each loaded profile: its name and its mode.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";
/// Takes compiled policy in one write; a profile that is there already is replaced, also for what runs under it.
const REPLACE: &str = "/sys/kernel/security/apparmor/.replace";

/// Whether the kernel enforces AppArmor.
pub fn is_enabled() -> bool {
    fs::read_to_string(ENABLED).is_ok_and(|value| value.starts_with('Y'))
}

/// Loads the compiled policy, if there is one, and says which profile containers get by default; empty: none. A machine that
/// has the profile from elsewhere (Docker's, on a developer's machine) needs no policy.
pub fn default_profile(policy: Option<&Path>) -> &'static str {
    if !is_enabled() {
        return "";
    }
    if let Some(policy) = policy
        && let Err(error) = load(policy)
    {
        sys::kmsg::warn(
            "engine",
            &format!(
                "AppArmor policy {} is not loaded: {error}",
                policy.display()
            ),
        );
    }
    let profiles = fs::read_to_string(PROFILES).unwrap_or_default();
    if profiles.lines().any(is_default) {
        DEFAULT
    } else {
        ""
    }
}

fn load(policy: &Path) -> std::io::Result<()> {
    fs::write(REPLACE, fs::read(policy)?)
}

/// Whether a line of the kernel's list is about the default profile.
fn is_default(line: &str) -> bool {
    line.split_once(' ')
        .is_some_and(|(name, _)| name == DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::is_default;

    #[test]
    fn the_default_profile_is_found_by_its_whole_name() {
        assert!(is_default("docker-default (enforce)"));
        assert!(!is_default("docker-default//child (enforce)"));
        assert!(!is_default("my-docker-default (complain)"));
        assert!(!is_default(""));
    }
}
