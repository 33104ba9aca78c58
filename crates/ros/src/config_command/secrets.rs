//! What `export` leaves out unless it is asked for it.

use config::{Node, Value};

use crate::own_file::remove;

/// Parts of the configuration that are secret as a whole (RancherOS's `PrivateKeys`, and what else lets somebody in).
const PLACES: &[&[&str]] = &[
    &["chpasswd"],
    &["password"],
    &["rancher", "autologin"],
    &["rancher", "docker", "ca_cert"],
    &["rancher", "docker", "ca_key"],
    &["rancher", "docker", "server_cert"],
    &["rancher", "docker", "server_key"],
    &["rancher", "password"],
    &["rancher", "registry_auths"],
    &["rancher", "ssh", "keys"],
];

/// Keys that are secret wherever they stand.
const KEYS: &[&str] = &["hashed_passwd", "passwd", "plain_text_passwd", "psk"];

/// Takes them out.
pub(super) fn take_out(tree: &mut Node) {
    for place in PLACES {
        remove(tree, place);
    }
    walk(tree);
}

fn walk(node: &mut Node) {
    match &mut node.value {
        Value::Map(map) => {
            map.retain(|key, _| !KEYS.contains(&key.as_str()));
            map.values_mut().for_each(|entry| walk(&mut entry.node));
        }
        Value::List(items) => {
            for item in items {
                // A file may hold a key as well as any other text.
                let is_key = item
                    .get("content")
                    .and_then(Node::as_str)
                    .is_some_and(|text| text.contains("PRIVATE KEY-----"));
                if is_key {
                    remove(item, &["content"]);
                }
                walk(item);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_with_the_maps_they_leave_empty() {
        let text = "hostname: a\npassword: s3cret\nusers: [{name: b, passwd: s3cret}]\nchpasswd: {list: 'a:s3cret'}\nwrite_files: [{path: /k, content: '-----BEGIN PRIVATE KEY-----s3cret'}]\nrancher: {ssh: {keys: {rsa: s3cret}}, password: s3cret, registry_auths: {r: {auth: s3cret}}}\n";
        let (mut node, _) = config::parse("t", text).unwrap();
        take_out(&mut node);
        let left = config::emit::to_yaml(&node);
        assert!(!left.contains("s3cret"), "{left}");
        assert_eq!(
            left,
            "hostname: a\nusers:\n- name: b\nwrite_files:\n- path: /k\n"
        );
    }
}
