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
const KEYS: &[&str] = &[
    "hashed_passwd",
    "passwd",
    "plain_text_passwd",
    "private_key_passwds",
    "psk",
];

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
            map.retain(|key, entry| {
                let text = entry.node.as_str();
                let is_secret = text.is_some_and(|text| is_secret_name(key) || has_password(text));
                !is_secret && !KEYS.contains(&key.as_str())
            });
            map.values_mut().for_each(|entry| walk(&mut entry.node));
        }
        Value::List(items) => {
            // Variables and options: NAME=VALUE, --name=value.
            items.retain(|item| {
                !item.as_str().is_some_and(|text| {
                    has_password(text)
                        || text
                            .rsplit_once('=')
                            .is_some_and(|(name, value)| !value.is_empty() && is_secret_name(name))
                })
            });
            for item in items {
                if is_secret_file(item) {
                    remove(item, &["content"]);
                }
                walk(item);
            }
        }
        _ => {}
    }
}

/// Whether an entry of `write_files` is a key, or a file that its owner alone may read.
fn is_secret_file(item: &Node) -> bool {
    let text = |key: &str| item.get(key).map(config::emit::to_yaml);
    let is_key = text("content").is_some_and(|text| text.contains("PRIVATE KEY-----"));
    let is_private = text("permissions").is_some_and(|mode| {
        let mode = mode.trim().trim_matches(['"', '\'']);
        mode.len() >= 3 && mode.ends_with("00") && mode.bytes().all(|c| c.is_ascii_digit())
    });
    is_key || is_private
}

/// Parts of names that people give to secrets, of variables and of options of log drivers.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "private_key",
    "preshared_key",
    "passphrase",
    "credential",
];

fn is_secret_name(name: &str) -> bool {
    // A command with an equals sign in it is not a variable.
    let name = name.to_ascii_lowercase().replace('-', "_");
    !name.contains(' ') && NAMES.iter().any(|part| name.contains(part))
}

/// Whether an address with a password in it is in a text, as a proxy's may be (RFC 3986, section 3.2.1).
pub(crate) fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, mark)| {
        let rest = &text[at + mark.len()..];
        let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c));
        let authority = &rest[..end.unwrap_or(rest.len())];
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_of(text: &str) -> String {
        let (mut node, _) = config::parse("t", text).unwrap();
        take_out(&mut node);
        config::emit::to_yaml(&node)
    }

    /// Every key of the schema that can hold a secret, each with one, and what is next to it and stays.
    const SECRETS: &[(&str, &str)] = &[
        (
            "write_files: [{path: /stays, content: s3cret, permissions: '0600'}]",
            "/stays",
        ),
        (
            "write_files: [{path: /a, content: s3cret, permissions: 0400}, {path: /b, content: stays, permissions: 0640}]",
            "stays",
        ),
        ("{password: s3cret, hostname: stays}", "stays"),
        ("{chpasswd: {list: 'a:s3cret'}, hostname: stays}", "stays"),
        (
            "{chpasswd: {users: [{name: a, password: s3cret}]}, hostname: stays}",
            "stays",
        ),
        ("users: [{name: stays, passwd: s3cret}]", "stays"),
        ("users: [{name: stays, plain_text_passwd: s3cret}]", "stays"),
        ("users: [{name: stays, hashed_passwd: $6$s3cret}]", "stays"),
        (
            "write_files: [{path: /stays, content: \"-----BEGIN RSA PRIVATE KEY-----\\ns3cret\"}]",
            "/stays",
        ),
        (
            "runcmd: ['curl http://u:s3cret@h/x', 'curl https://x/y?token=stays']",
            "stays",
        ),
        ("bootcmd: [[curl, 'http://u:s3cret@h'], stays]", "stays"),
        ("rancher: {password: s3cret, debug: stays}", "stays"),
        (
            "rancher: {registry_auths: {r: {auth: s3cret}}, debug: stays}",
            "stays",
        ),
        (
            "rancher: {registry_mirrors: {r: ['http://u:s3cret@h', 'http://stays']}}",
            "stays",
        ),
        (
            "rancher: {ssh: {keys: {rsa: s3cret}, port: stays}}",
            "stays",
        ),
        (
            "rancher: {environment: {DB_PASSWORD: s3cret, MODE: stays}}",
            "stays",
        ),
        (
            "rancher: {environment: [API_TOKEN=s3cret, MODE=stays]}",
            "stays",
        ),
        (
            "rancher: {network: {http_proxy: 'http://u:s3cret@p:3128', https_proxy: 'http://stays:3128'}}",
            "stays",
        ),
        (
            "rancher: {network: {pre_cmds: ['curl ftp://u:s3cret@h', stays]}}",
            "stays",
        ),
        (
            "rancher: {network: {wifi_networks: {a: {psk: s3cret, ssid: stays}}}}",
            "stays",
        ),
        (
            "rancher: {network: {wifi_networks: {a: {password: s3cret, private_key_passwds: [s3cret, x], ssid: stays}}}}",
            "stays",
        ),
        (
            "rancher: {network: {interfaces: {w: {mtu: stays, wireguard: {private_key: s3cret, peers: [{preshared_key: s3cret}]}}}}}",
            "stays",
        ),
        (
            "rancher: {docker: {ca_key: s3cret, server_key: s3cret, bip: stays}}",
            "stays",
        ),
        (
            "rancher: {docker: {environment: [API_TOKEN=s3cret, A=stays]}}",
            "stays",
        ),
        (
            "rancher: {docker: {log_opts: {splunk-token: s3cret, max-size: stays}}}",
            "stays",
        ),
        (
            "rancher: {docker: {extra_args: ['--log-opt=x-token=s3cret', --stays]}}",
            "stays",
        ),
        (
            "rancher: {services: {a: {image: stays, environment: {SECRET_KEY: s3cret}}}}",
            "stays",
        ),
        (
            "rancher: {services: {a: {image: stays, command: 'run --db http://u:s3cret@h/'}}}",
            "stays",
        ),
        (
            "rancher: {upgrade: {image: stays}, cloud_init: {datasources: ['url:https://u:s3cret@h/x']}}",
            "stays",
        ),
    ];

    #[test]
    fn no_secret_is_shown_and_what_is_none_is() {
        for (text, kept) in SECRETS {
            let left = left_of(text);
            assert!(!left.contains("s3cret"), "{text}: {left}");
            assert!(left.contains(kept), "{text}: {left}");
        }
    }

    #[test]
    fn secrets_are_taken_out_with_the_maps_they_leave_empty() {
        let text = "hostname: a\nusers: [{name: b, passwd: s3cret}]\nwrite_files: [{path: /k, content: '-----BEGIN PRIVATE KEY-----s3cret'}]\nrancher: {ssh: {keys: {rsa: s3cret}}, password: s3cret, registry_auths: {r: {auth: s3cret}}}\n";
        assert_eq!(
            left_of(text),
            "hostname: a\nusers:\n- name: b\nwrite_files:\n- path: /k\n"
        );
    }
}
