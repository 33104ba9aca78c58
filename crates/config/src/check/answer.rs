//! Whether a value says yes or no, in the words of the keys that are always so or never.

use super::text;
use crate::{Node, Value, scalar};

/// Words of cloud-init's keys that switch something off.
const NO: &[&str] = &["off", "none", "never", "disabled", "0"];

/// `false`, and a map whose `mode` or `enabled` is that, say no; none for what says neither.
pub(super) fn of(node: &Node) -> Option<bool> {
    if let Value::Map(map) = &node.value {
        let switches = ["mode", "enabled"].iter().filter_map(|key| map.get(*key));
        return switches
            .map(|entry| of(&entry.node))
            .find(Option::is_some)?;
    }
    let text = text(node.value.clone())?;
    if NO.contains(&text.to_ascii_lowercase().as_str()) {
        return Some(false);
    }
    scalar::boolean(&text)
}

#[cfg(test)]
mod tests {
    use crate::check::tests::checked;

    /// A key that is always so, or never, is silent for what it does and named for what it does not.
    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn a_value_that_asks_for_the_opposite_is_named() {
        for (silent, said, words) in [
            (
                "manage_etc_hosts: true",
                "manage_etc_hosts: no",
                "not applied: /etc/hosts",
            ),
            (
                "manage_etc_hosts: localhost",
                "manage_etc_hosts: false",
                "not applied: /etc/hosts",
            ),
            (
                "manage_resolv_conf: true",
                "manage_resolv_conf: false",
                "rancher.network.dns",
            ),
            (
                "disable_root: true",
                "disable_root: false",
                "log in as rancher",
            ),
            (
                "growpart: {mode: auto, devices: ['/']}",
                "growpart: {mode: off}",
                "not applied",
            ),
            ("growpart: true", "growpart: {mode: false}", "not applied"),
            (
                "resize_rootfs: noblock",
                "resize_rootfs: false",
                "not applied",
            ),
            (
                "allow_public_ssh_keys: true",
                "allow_public_ssh_keys: false",
                "always taken",
            ),
            (
                "create_hostname_file: true",
                "create_hostname_file: false",
                "always written",
            ),
            (
                "no_ssh_fingerprints: true",
                "no_ssh_fingerprints: false",
                "not printed",
            ),
            (
                "package_update: false",
                "package_update: true",
                "noted, not done",
            ),
            (
                "package_upgrade: no",
                "package_upgrade: yes",
                "noted, not done",
            ),
            (
                "package_reboot_if_required: no",
                "package_reboot_if_required: yes",
                "noted, not done",
            ),
            (
                "preserve_hostname: false",
                "preserve_hostname: true",
                "remove `hostname`",
            ),
            (
                "ntp: {ntp_client: chrony}",
                "ntp: {ntp_client: ntpdate}",
                "chrony",
            ),
        ] {
            assert!(
                checked(silent).1.is_empty(),
                "{silent}: {:?}",
                checked(silent).1
            );
            let problems = checked(said).1;
            assert!(
                problems.len() == 1 && problems[0].contains(words),
                "{said}: {problems:?}"
            );
            assert!(problems[0].starts_with("t.yml:1:"), "{problems:?}");
        }
    }
}
