//! What wpa_supplicant is told of the network that a card joins (wpa_supplicant.conf(5)).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use config::cloud_config::{Interface, WifiNetwork};

/// Longest name of a network, in bytes (IEEE 802.11, 9.4.2.2).
const MAX_SSID_BYTES: usize = 32;
/// Keys that an access point of today can agree on with a passphrase: WPA2, and WPA3 (SAE) for which management frames are protected.
const WITH_PASSPHRASE: &str = "WPA-PSK WPA-PSK-SHA256 SAE";
/// The same with the key itself, of which SAE can make nothing.
const WITH_KEY: &str = "WPA-PSK WPA-PSK-SHA256";

/// What wpa_supplicant is told, by the keys of the entries that name a network, and what is wrong with them. The entries get the
/// addresses that their networks have for them; a card of a network that cannot be used has its addresses all the same.
pub(crate) fn plan(
    entries: &mut BTreeMap<String, Interface>,
    networks: &BTreeMap<String, WifiNetwork>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut all, mut problems) = (BTreeMap::new(), Vec::new());
    for (key, entry) in entries {
        let name = entry.wifi_network.clone().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        let Some(network) = networks.get(&name) else {
            problems.push(format!(
                "{key}: wifi_network: {name} is not in wifi_networks"
            ));
            continue;
        };
        complete(entry, network);
        match settings(network) {
            Ok(settings) => {
                all.insert(key.clone(), settings);
            }
            Err(error) => problems.push(format!("{key}: wifi_networks.{name}: {error}")),
        }
    }
    (all, problems)
}

/// Gives a card's entry what the network says of addresses, and DHCP when neither says something.
fn complete(entry: &mut Interface, network: &WifiNetwork) {
    if entry.address.is_none() && entry.addresses.is_empty() {
        entry.address.clone_from(&network.address);
        if entry.address.is_none() && entry.dhcp.is_none() && entry.ipv4ll != Some(true) {
            entry.dhcp = Some(true);
        }
    }
    if entry.gateway.is_none() {
        entry.gateway.clone_from(&network.gateway);
    }
}

/// wpa_supplicant's configuration for one network.
///
/// # Errors
/// What is wrong with the entry, by its key; a secret is not repeated.
fn settings(network: &WifiNetwork) -> Result<String, String> {
    let mut lines = Lines::default();
    let ssid = network.ssid.as_deref().unwrap_or("");
    if ssid.is_empty() {
        return Err("ssid is missing".to_owned());
    }
    if ssid.len() > MAX_SSID_BYTES {
        return Err(format!("ssid is longer than {MAX_SSID_BYTES} bytes"));
    }
    // In digits every byte is allowed, a quote and a newline too.
    let digits: String = ssid.bytes().map(|byte| format!("{byte:02x}")).collect();
    lines.word("ssid", &digits);
    lines.number("scan_ssid", network.scan_ssid);
    lines.number("priority", network.priority);
    // An open network: a passphrase that an earlier one left is not asked for.
    let is_open = network.key_mgmt.as_deref().map(str::trim) == Some("NONE");
    let psk = network.psk.as_deref().filter(|_| !is_open);
    let psk = psk.map(psk_words).transpose()?;
    if network.eap.is_none()
        && network.key_mgmt.is_none()
        && (network.identity.is_some() || network.password.is_some())
    {
        // Without a method it would be an open network, and anybody's.
        return Err("identity and password need eap".to_owned());
    }
    let ways = match &psk {
        Some(psk) if psk.starts_with('"') => WITH_PASSPHRASE,
        Some(_) => WITH_KEY,
        None if network.eap.is_some() => "WPA-EAP WPA-EAP-SHA256",
        None => "NONE",
    };
    lines.names("key_mgmt", network.key_mgmt.as_deref().or(Some(ways)))?;
    if network.key_mgmt.as_deref().unwrap_or(ways).trim() != "NONE" {
        // Management frames are protected where the other side can: SAE asks for it, an old access point knows nothing of it.
        lines.word("ieee80211w", "1");
    }
    if let Some(psk) = psk {
        lines.word("psk", &psk);
    }
    lines.names("pairwise", network.pairwise.as_deref())?;
    lines.names("group", network.group.as_deref())?;
    lines.names("eap", network.eap.as_deref())?;
    lines.number("eapol_flags", network.eapol_flags);
    lines.text("identity", network.identity.as_deref())?;
    lines.text("anonymous_identity", network.anonymous_identity.as_deref())?;
    lines.text("password", network.password.as_deref())?;
    lines.list("ca_certs", ["ca_cert", "ca_cert2"], &network.ca_certs)?;
    lines.list(
        "client_certs",
        ["client_cert", "client_cert2"],
        &network.client_certs,
    )?;
    lines.list(
        "private_keys",
        ["private_key", "private_key2"],
        &network.private_keys,
    )?;
    let passwords = &network.private_key_passwds;
    lines.list(
        "private_key_passwds",
        ["private_key_passwd", "private_key2_passwd"],
        passwords,
    )?;
    lines.list("phases", ["phase1", "phase2"], &network.phases)?;
    // Direct connections of two cards are not what a card was given for, and would be another link.
    Ok(format!("p2p_disabled=1\nnetwork={{\n{}}}\n", lines.0))
}

/// A passphrase in quotes, or the digits of a key.
fn psk_words(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_owned());
    }
    if (8..=63).contains(&text.len()) {
        return quoted("psk", text);
    }
    Err("psk is neither 8 to 63 characters nor 64 hexadecimal digits".to_owned())
}

/// wpa_supplicant reads up to the line's last quote, so that quotes inside need nothing; only a line's end would be read as one.
fn quoted(key: &str, text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err(format!("{key} has a control character"));
    }
    Ok(format!("\"{text}\""))
}

/// Lines of a network's block.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn word(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "\t{name}={value}");
    }

    fn number(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.word(name, &value.to_string());
        }
    }

    /// Names of protocols and ciphers, with spaces between them.
    fn names(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else {
            return Ok(());
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ' ');
        if !value.chars().all(is_name) {
            return Err(format!("{name}: {value:?} is not a list of names"));
        }
        self.word(name, value);
        Ok(())
    }

    fn text(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        if let Some(value) = value {
            self.word(name, &quoted(name, value)?);
        }
        Ok(())
    }

    /// The first element under the first name, the second under the second.
    fn list(&mut self, key: &str, names: [&str; 2], values: &[String]) -> Result<(), String> {
        if values.len() > names.len() {
            return Err(format!("{key} has more than {} elements", names.len()));
        }
        for (name, value) in names
            .into_iter()
            .zip(values)
            .filter(|(_, value)| !value.is_empty())
        {
            self.word(name, &quoted(key, value)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(yaml: &str) -> WifiNetwork {
        let text = format!("rancher: {{network: {{wifi_networks: {{a: {{{yaml}}}}}}}}}");
        let source = config::Source {
            name: "t",
            text: &text,
        };
        let mut loaded = config::load(&[source], &config::CommandLine::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let mut networks = std::mem::take(&mut loaded.config.rancher.network.wifi_networks);
        networks.remove("a").unwrap()
    }

    #[test]
    fn each_kind_of_network_has_its_lines() {
        for (yaml, want) in [
            (
                "ssid: home, psk: 'open \"sesame\"'",
                "p2p_disabled=1\nnetwork={\n\tssid=686f6d65\n\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\tpsk=\"open \"sesame\"\"\n}\n",
            ),
            (
                "ssid: o, psk: short, key_mgmt: NONE",
                "p2p_disabled=1\nnetwork={\n\tssid=6f\n\tkey_mgmt=NONE\n}\n",
            ),
            (
                "ssid: 'a b', scan_ssid: 1, priority: 5",
                "p2p_disabled=1\nnetwork={\n\tssid=612062\n\tscan_ssid=1\n\tpriority=5\n\tkey_mgmt=NONE\n}\n",
            ),
            (
                "ssid: e, eap: PEAP, identity: me, password: pw, ca_certs: [/c/a.pem], phases: ['', 'auth=MSCHAPV2'], key_mgmt: WPA-EAP",
                "p2p_disabled=1\nnetwork={\n\tssid=65\n\tkey_mgmt=WPA-EAP\n\tieee80211w=1\n\teap=PEAP\n\tidentity=\"me\"\n\tpassword=\"pw\"\n\tca_cert=\"/c/a.pem\"\n\tphase2=\"auth=MSCHAPV2\"\n}\n",
            ),
            (
                "ssid: t, eap: TLS, client_certs: [/c, /c2], private_keys: [/k, /k2], private_key_passwds: [p, p2], eapol_flags: 3",
                "p2p_disabled=1\nnetwork={\n\tssid=74\n\tkey_mgmt=WPA-EAP WPA-EAP-SHA256\n\tieee80211w=1\n\teap=TLS\n\teapol_flags=3\n\tclient_cert=\"/c\"\n\tclient_cert2=\"/c2\"\n\tprivate_key=\"/k\"\n\tprivate_key2=\"/k2\"\n\tprivate_key_passwd=\"p\"\n\tprivate_key2_passwd=\"p2\"\n}\n",
            ),
        ] {
            assert_eq!(settings(&network(yaml)).as_deref(), Ok(want), "{yaml}");
        }
        let key = "0123456789abcdef".repeat(4);
        let text = settings(&network(&format!("ssid: a, psk: '{key}'"))).unwrap();
        assert!(
            text.contains(&format!("\tpsk={key}\n")) && !text.contains("SAE"),
            "{text}"
        );
    }

    /// No text of an entry adds a line, and no secret is said.
    #[test]
    fn what_is_wrong_is_named_and_nothing_slips_in() {
        for (yaml, want) in [
            ("psk: 12345678", "ssid is missing"),
            ("ssid: ''", "ssid is missing"),
            (
                "ssid: '123456789012345678901234567890123'",
                "ssid is longer",
            ),
            ("ssid: a, psk: s3cret", "psk is neither"),
            (
                "ssid: a, psk: \"s3cret12\\nfoo=1\"",
                "psk has a control character",
            ),
            ("ssid: a, identity: me", "need eap"),
            (
                "ssid: a, eap: PEAP, identity: \"a\\nb\"",
                "identity has a control",
            ),
            ("ssid: a, pairwise: \"CCMP\\npsk=1\"", "pairwise: "),
            ("ssid: a, ca_certs: [a, b, c]", "ca_certs has more than 2"),
        ] {
            let error = settings(&network(yaml)).unwrap_err();
            assert!(
                error.contains(want) && !error.contains("s3cret"),
                "{yaml}: {error}"
            );
        }
        let text = settings(&network("ssid: \"a\\n}\\nb=1\"")).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
    }
}
