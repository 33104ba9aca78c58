//! Metadata: the machine's name and its owner's keys, in the formats of OpenStack and NoCloud.

pub use machine_config::Metadata;
use serde_json::Value;

use crate::{Error, Result};

/// Most bytes of a metadata file; keys and addresses of a large machine are a few KiB.
pub const MAX_BYTES: u64 = 1 << 20;

/// Most keys taken from one source.
pub(crate) const MAX_KEYS: usize = 256;

/// `openstack/latest/meta_data.json`: `uuid`, `hostname`, `public_keys` by name.
///
/// # Errors
/// Not a JSON map.
pub fn openstack(text: &str) -> Result<Metadata> {
    let json: Value =
        serde_json::from_str(text).map_err(|error| Error::Metadata(error.to_string()))?;
    if !json.is_object() {
        return Err(Error::Metadata("not a map".to_owned()));
    }
    Ok(Metadata {
        hostname: text_of(&json, &["hostname", "name"]),
        instance_id: text_of(&json, &["uuid"]),
        ssh_authorized_keys: keys(json.get("public_keys")),
        ..Metadata::default()
    })
}

/// NoCloud's `meta-data`: YAML with `instance-id`, `local-hostname` or `hostname`, `public-keys`.
///
/// # Errors
/// Not a YAML map.
pub fn no_cloud(text: &str) -> Result<Metadata> {
    let (node, _) =
        config::parse("meta-data", text).map_err(|problem| Error::Metadata(problem.to_string()))?;
    let json = node.to_json();
    if !json.is_object() {
        return Err(Error::Metadata("not a map".to_owned()));
    }
    Ok(Metadata {
        hostname: text_of(&json, &["local-hostname", "hostname"]),
        instance_id: text_of(&json, &["instance-id"]),
        ssh_authorized_keys: keys(json.get("public-keys").or_else(|| json.get("public_keys"))),
        ..Metadata::default()
    })
}

fn text_of(json: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match json.get(name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Keys as a text with one per line, a list, or a map of those by name.
pub(crate) fn keys(value: Option<&Value>) -> Vec<String> {
    let mut keys = Vec::new();
    if let Some(value) = value {
        collect(value, 0, &mut keys);
    }
    keys.truncate(MAX_KEYS);
    keys
}

fn collect(value: &Value, depth: usize, keys: &mut Vec<String>) {
    // EC2's form nests three deep: {"0": {"openssh-key": "..."}}.
    const DEEPEST: usize = 3;
    match value {
        Value::String(text) => keys.extend(
            text.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        ),
        Value::Array(items) if depth < DEEPEST => {
            items.iter().for_each(|item| collect(item, depth + 1, keys));
        }
        Value::Object(map) if depth < DEEPEST => {
            map.values().for_each(|item| collect(item, depth + 1, keys));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openstack_metadata() {
        let text = r#"{"uuid": "83679162", "hostname": "test.novalocal", "name": "test",
            "public_keys": {"b": "ssh-rsa B b\n", "a": "ssh-ed25519 A a"}, "keys": [{"x": 1}]}"#;
        let metadata = openstack(text).unwrap();
        assert_eq!(metadata.hostname.as_deref(), Some("test.novalocal"));
        assert_eq!(metadata.instance_id.as_deref(), Some("83679162"));
        assert_eq!(
            metadata.ssh_authorized_keys,
            ["ssh-ed25519 A a", "ssh-rsa B b"]
        );
    }

    #[test]
    fn no_cloud_metadata() {
        for (text, hostname, keys) in [
            ("", None, vec![]),
            (
                "instance-id: i-1\nlocal-hostname: box\n",
                Some("box"),
                vec![],
            ),
            (
                "hostname: box\npublic-keys:\n- ssh-rsa A\n- ssh-rsa B\n",
                Some("box"),
                vec!["ssh-rsa A", "ssh-rsa B"],
            ),
            (
                "public-keys: |\n  ssh-rsa A\n  # no\n\n  ssh-rsa B\n",
                None,
                vec!["ssh-rsa A", "ssh-rsa B"],
            ),
            (
                "public-keys:\n  '0':\n    openssh-key: ssh-rsa A\n",
                None,
                vec!["ssh-rsa A"],
            ),
            ("{\"local-hostname\": 12}", Some("12"), vec![]),
        ] {
            let metadata = no_cloud(text).unwrap();
            assert_eq!(metadata.hostname.as_deref(), hostname, "{text}");
            assert_eq!(metadata.ssh_authorized_keys, keys, "{text}");
        }
    }

    #[test]
    fn what_is_no_map_is_an_error() {
        assert!(openstack("[]").is_err());
        assert!(openstack("{").is_err());
        assert!(no_cloud("- a").is_err());
        assert!(no_cloud("a: [").is_err());
    }
}
