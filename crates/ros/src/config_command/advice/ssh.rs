//! Host keys that sshd does not take.

use config::{Node, Problem};

use super::at_key;
use crate::console::host_keys::KEY_TYPES;

pub(super) fn add(tree: &Node, problems: &mut Vec<Problem>) {
    let keys = tree.get("rancher.ssh.keys").and_then(Node::as_map);
    for (name, entry) in keys.into_iter().flatten() {
        if !KEY_TYPES.contains(&name.trim_end_matches("-pub")) {
            let known = KEY_TYPES.join(", ");
            let words = format!("not applied: host keys are of the types {known}");
            problems.push(at_key(entry, &format!("rancher.ssh.keys.{name}"), words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn a_host_key_of_another_type_is_named() {
        let keys = "rancher: {ssh: {keys: {rsa: a, rsa-pub: a, ecdsa: b, ed25519: c}}}";
        assert_eq!(said(keys), Vec::<String>::new());
        let said = said("rancher:\n  ssh:\n    keys:\n      dsa: a\n      rsa: b\n");
        assert!(
            said.len() == 1
                && said[0].starts_with("t:4:7: warning: rancher.ssh.keys.dsa: not applied"),
            "{said:?}"
        );
    }
}
