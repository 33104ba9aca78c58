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

/// Parts of names that people give to secrets, of variables and of options of log drivers.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "private_key",
    "credential",
];

fn is_secret_name(name: &str) -> bool {
    // A command with an equals sign in it is not a variable.
    let name = name.to_ascii_lowercase().replace('-', "_");
    !name.contains(' ') && NAMES.iter().any(|part| name.contains(part))
}

/// Whether a text is an address with a password in it, as a proxy's may be (RFC 3986, section 3.2.1).
fn has_password(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or("");
    let is_scheme = scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+-.=_".contains(c));
    is_scheme
        && authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_options_and_addresses_with_passwords_are_taken_out() {
        let text = "rancher:\n  environment: {DB_PASSWORD: s3cret, MODE: a}\n  network: {http_proxy: 'http://u:s3cret@p:3128', https_proxy: 'http://p:3128'}\n  docker: {environment: [API_TOKEN=s3cret, A=b], log_opts: {splunk-token: s3cret}, extra_args: ['--log-opt=x-token=s3cret', --debug]}\n  services: {a: {image: b, environment: {SECRET_KEY: s3cret}}}\nruncmd: ['curl https://x/y?token=kept']\n";
        let (mut node, _) = config::parse("t", text).unwrap();
        take_out(&mut node);
        let left = config::emit::to_yaml(&node);
        assert!(!left.contains("s3cret"), "{left}");
        for kept in [
            "MODE: a",
            "https_proxy",
            "A=b",
            "--debug",
            "token=kept",
            "image: b",
        ] {
            assert!(left.contains(kept), "{kept}: {left}");
        }
    }

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
