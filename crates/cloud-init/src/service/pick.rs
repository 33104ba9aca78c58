//! What needs more than a place in a document.

use serde_json::Value;

use crate::mime;
use crate::network::{self, Network, clouds};

/// GCE: attribute `user-data`, perhaps in base64, else `startup-script` (RancherOS took both).
pub(super) fn gce_user_data(value: &Value) -> Option<String> {
    let attribute = |name: &str| value.pointer("/attributes")?.get(name)?.as_str();
    let Some(data) = attribute("user-data") else {
        return attribute("startup-script").map(str::to_owned);
    };
    match attribute("user-data-encoding") {
        Some("base64") => {
            mime::base64(data).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Some(data.to_owned()),
    }
}

/// GCE: the machine's own keys, `user:ssh-ed25519 ... google-ssh {"expireOn": ...}`, one a line.
pub(super) fn gce_keys(value: &Value) -> Vec<String> {
    let now = utc(std::time::SystemTime::now());
    let texts = ["ssh-keys", "sshKeys"]
        .iter()
        .filter_map(|name| value.pointer("/attributes")?.get(*name)?.as_str());
    texts
        .flat_map(str::lines)
        .filter_map(|line| gce_key(line, &now))
        .collect()
}

/// GCE: the project's keys, unless the machine wants none of them (`block-project-ssh-keys`, under `instance`).
pub(super) fn gce_project_keys(value: &Value) -> Vec<String> {
    let blocked = value
        .pointer("/parts/instance/attributes/block-project-ssh-keys")
        .and_then(Value::as_str);
    if blocked.is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return Vec::new();
    }
    gce_keys(&serde_json::json!({"attributes": value}))
}

fn gce_key(line: &str, now: &str) -> Option<String> {
    let (user, key) = line.trim().split_once(':')?;
    // A key without a user has no colon before its type.
    let key = if user.contains(' ') { line.trim() } else { key };
    if let Some((_, json)) = key.split_once("google-ssh ") {
        let until: Value = serde_json::from_str(json).ok()?;
        // RFC 3339 in UTC compares as text: 2026-01-31T12:00:00+0000.
        let until = until.get("expireOn").and_then(Value::as_str).unwrap_or("");
        let is_utc = until.ends_with("+0000") || until.ends_with('Z') || until.ends_with("+00:00");
        if is_utc && until.get(..19).is_some_and(|until| until < now) {
            return None;
        }
    }
    Some(key.to_owned())
}

/// `2026-01-31T12:00:00` (days to dates: H. Hinnant, "chrono-compatible low-level date algorithms").
fn utc(time: std::time::SystemTime) -> String {
    let seconds = time
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let days = i64::try_from(seconds / 86400).unwrap_or(0) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_part = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_part + 2) / 5 + 1;
    let month = if month_part < 10 {
        month_part + 3
    } else {
        month_part - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Azure's `publicKeys[].keyData`, Scaleway's `ssh_public_keys[].key`.
pub(super) fn key_data(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    let keys = items.filter_map(|item| {
        ["keyData", "key"]
            .iter()
            .find_map(|name| item.get(*name)?.as_str())
    });
    keys.map(|key| key.replace("\r\n", "").trim().to_owned())
        .collect()
}

/// Vultr: `user-data` is a text or a list of lines; a start script otherwise.
pub(super) fn vultr_user_data(value: &Value) -> Option<String> {
    ["user-data", "startup-script"]
        .iter()
        .find_map(|name| match value.get(*name)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            Value::Array(lines) if !lines.is_empty() => {
                let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
                Some(lines.join("\n"))
            }
            _ => None,
        })
}

/// The IPv4 address of the first link that is public.
pub(super) fn vultr_public_ipv4(value: &Value) -> Option<String> {
    let links = value.get("interfaces")?.as_array()?;
    let public = links
        .iter()
        .find(|link| link.get("network-type").and_then(Value::as_str) == Some("public"))?;
    Some(public.pointer("/ipv4/address")?.as_str()?.to_owned())
}

/// UpCloud's first public IPv4 address.
pub(super) fn upcloud_public_ipv4(value: &Value) -> Option<String> {
    let links = value.pointer("/network/interfaces")?.as_array()?;
    let public = links
        .iter()
        .filter(|link| link.get("type").and_then(Value::as_str) == Some("public"));
    let mut addresses = public
        .filter_map(|link| link.get("ip_addresses")?.as_array())
        .flatten();
    let first =
        addresses.find(|address| address.get("family").and_then(Value::as_str) == Some("IPv4"))?;
    Some(first.get("address")?.as_str()?.to_owned())
}

/// Hetzner's links out of its two pages.
pub(super) fn hetzner_network(value: &Value) -> Network {
    let mut document = value
        .pointer("/parts/metadata")
        .cloned()
        .unwrap_or_default();
    if let (Some(map), Some(links)) = (
        document.as_object_mut(),
        value.pointer("/parts/private-networks"),
    ) {
        map.insert("private-networks".to_owned(), links.clone());
    }
    clouds::hetzner(&document)
}

/// cloud-init's `network-config`, version 1 or 2.
pub(crate) fn network_config(value: &Value) -> Network {
    match network::network_value(value) {
        Ok(network) => network.unwrap_or_default(),
        Err(error) => Network {
            notes: vec![format!("network-config: {error}")],
            ..Network::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn keys_of_google_expire() {
        let now = "2026-06-01T00:00:00";
        for (line, key) in [
            ("jane:ssh-ed25519 AAAA jane", Some("ssh-ed25519 AAAA jane")),
            ("ssh-ed25519 AAAA jane:x", Some("ssh-ed25519 AAAA jane:x")),
            (
                r#"a:ssh-rsa A google-ssh {"userName":"a","expireOn":"2026-05-31T23:59:59+0000"}"#,
                None,
            ),
            (
                r#"a:ssh-rsa A google-ssh {"userName":"a","expireOn":"2027-01-01T00:00:00+0000"}"#,
                Some("ssh-rsa A"),
            ),
            (r"a:ssh-rsa A google-ssh {broken", None),
            ("", None),
        ] {
            let found = gce_key(line, now);
            assert_eq!(found.is_some(), key.is_some(), "{line}");
            assert!(
                found
                    .unwrap_or_default()
                    .starts_with(key.unwrap_or_default()),
                "{line}"
            );
        }
    }

    #[test]
    fn dates_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_764_416_079, "2025-11-29T11:34:39"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
