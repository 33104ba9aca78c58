//! netplan's `wifis` (netplan's YAML reference, "Properties for device type `wifis:`").

use config::Node;
use serde::Serialize;
use serde_json::Value;

use super::netplan::keys;
use super::{Network, text, truth};

/// Keys of a card, next to those of every link.
pub(super) const READ: &[&str] = &["access-points"];
/// Keys of an access point that are read.
const READ_OF_POINT: &[&str] = &["password", "hidden", "auth"];
/// Keys of `auth` that are read.
const READ_OF_AUTH: &[&str] = &[
    "key-management",
    "password",
    "method",
    "identity",
    "anonymous-identity",
    "ca-certificate",
    "client-certificate",
    "client-key",
    "client-key-password",
    "phase2-auth",
];

/// `rancher.network.wifi_networks.NAME`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct WifiNetwork {
    ssid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scan_ssid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_mgmt: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ca_certs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    client_certs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    private_keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    private_key_passwds: Vec<String>,
    /// The first is for the outer authentication, of which netplan says nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phases: Vec<String>,
}

/// Secrets stay as they were written: `0123456789` is a passphrase, and no number.
pub(super) fn keep_secrets(node: &mut Node) {
    match &mut node.value {
        config::Value::Map(map) => {
            for (key, entry) in map {
                let is_secret = matches!(
                    key.as_str(),
                    "password" | "identity" | "client-key-password"
                );
                match &entry.node.value {
                    config::Value::Plain(text) if is_secret => {
                        entry.node.value = config::Value::String(text.clone());
                    }
                    _ => keep_secrets(&mut entry.node),
                }
            }
        }
        config::Value::List(items) => items.iter_mut().for_each(keep_secrets),
        _ => {}
    }
}

/// The network that a card joins: the first one by its name.
pub(super) fn translate(network: &mut Network, key: &str, name: &str, link: &Value) {
    let points = link.get("access-points");
    let key = format!("{key}.access-points");
    let names = keys(points);
    let Some(ssid) = names.first() else {
        return network.note(&key, "there is none: the card joins no network");
    };
    if names.len() > 1 {
        network.note(&key, &format!("a card joins one network, here {ssid:?}"));
    }
    let point = points
        .and_then(|points| points.get(ssid))
        .unwrap_or(&Value::Null);
    let auth = point.get("auth").unwrap_or(&Value::Null);
    let unread = [
        (&key, point, READ_OF_POINT),
        (&format!("{key}.auth"), auth, READ_OF_AUTH),
    ];
    for (key, value, read) in unread {
        for field in keys(Some(value))
            .iter()
            .filter(|field| !read.contains(&field.as_str()))
        {
            network.note(&format!("{key}.{field}"), "not applied by this version");
        }
    }
    let Some(mut wanted) = secured(network, &format!("{key}.{ssid}"), point, auth) else {
        return;
    };
    wanted.ssid.clone_from(ssid);
    wanted.scan_ssid = point.get("hidden").is_some_and(truth).then_some(1);
    network.wifi_networks.insert(name.to_owned(), wanted);
    network.entry(name).wifi_network = Some(name.to_owned());
}

/// How the machine shows who it is; none, with a word, when that is not clear: a network without it would be open, and anybody's.
fn secured(network: &mut Network, key: &str, point: &Value, auth: &Value) -> Option<WifiNetwork> {
    let field = |name: &str| auth.get(name).and_then(secret);
    let psk = field("password").or_else(|| point.get("password").and_then(secret));
    let way = field("key-management");
    let missing = match (way.as_deref(), &psk) {
        (Some("none"), _) => return Some(WifiNetwork::default()),
        (None, None) if auth.is_null() => return Some(WifiNetwork::default()),
        (None | Some("psk" | "psk-sha256" | "sae"), None) => "password",
        (None | Some("psk" | "psk-sha256" | "sae"), _) => {
            return Some(WifiNetwork {
                key_mgmt: (way.as_deref() == Some("sae")).then_some("SAE"),
                psk,
                ..WifiNetwork::default()
            });
        }
        (Some("eap" | "eap-sha256"), _) => match field("method") {
            Some(method) => return Some(enterprise(&method, &field)),
            None => "method",
        },
        (Some(other), _) => {
            let message = format!("{other:?} is not known: the card joins no network");
            network.note(&format!("{key}.auth.key-management"), &message);
            return None;
        }
    };
    network.note(
        key,
        &format!("{missing} is missing: the card joins no network"),
    );
    None
}

fn enterprise(method: &str, field: &dyn Fn(&str) -> Option<String>) -> WifiNetwork {
    WifiNetwork {
        eap: Some(method.to_uppercase()),
        identity: field("identity"),
        anonymous_identity: field("anonymous-identity"),
        password: field("password"),
        ca_certs: field("ca-certificate").into_iter().collect(),
        client_certs: field("client-certificate").into_iter().collect(),
        private_keys: field("client-key").into_iter().collect(),
        private_key_passwds: field("client-key-password").into_iter().collect(),
        phases: field("phase2-auth")
            .map(|way| vec![String::new(), format!("auth={way}")])
            .unwrap_or_default(),
        ..WifiNetwork::default()
    }
}

/// A text as it stands: a passphrase may begin or end with a space.
fn secret(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| text(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::network::tests::translated;

    #[test]
    fn netplan_wifis() {
        let text = "
network:
  version: 2
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: DE
      access-points:
        'My \"home\"': {password: 'open sesame', hidden: true, band: 5GHz}
    wlan1:
      addresses: [10.9.0.2/24]
      access-points: {open: {auth: {key-management: none}}, second: {}}
    wlan2:
      dhcp4: true
      access-points:
        work:
          auth: {key-management: eap, method: peap, identity: me, anonymous-identity: any, password: pw, ca-certificate: /c, client-certificate: /d, client-key: /k, client-key-password: kp, phase2-auth: MSCHAPV2}
    wlan3: {dhcp4: true, access-points: {three: {auth: {key-management: sae, password: 0123456789}}}}
    wlan4: {dhcp4: true, match: {driver: ath}, access-points: {four: {auth: {key-management: 802.1x, identity: me}}}}
    wlan5: {dhcp4: true, access-points: {five: {auth: {key-management: psk}}}}
    wlan6: {dhcp4: true, access-points: {six: {auth: {key-management: eap, password: ' p '}}}}
";
        let network = json!({
            "interfaces": {
                "wlan0": {"dhcp": true, "wifi_network": "wlan0"},
                "wlan1": {"addresses": ["10.9.0.2/24"], "wifi_network": "wlan1"},
                "wlan2": {"dhcp": true, "wifi_network": "wlan2"},
                "wlan3": {"dhcp": true, "wifi_network": "wlan3"},
                "wlan4": {"dhcp": true, "match": "wlan*"},
                "wlan5": {"dhcp": true},
                "wlan6": {"dhcp": true},
            },
            "wifi_networks": {
                "wlan0": {"ssid": "My \"home\"", "psk": "open sesame", "scan_ssid": 1},
                "wlan1": {"ssid": "open"},
                "wlan2": {"ssid": "work", "eap": "PEAP", "identity": "me", "anonymous_identity": "any", "password": "pw", "ca_certs": ["/c"],
                    "client_certs": ["/d"], "private_keys": ["/k"], "private_key_passwds": ["kp"], "phases": ["", "auth=MSCHAPV2"]},
                "wlan3": {"ssid": "three", "psk": "0123456789", "key_mgmt": "SAE"},
            },
        });
        translated(
            text,
            &network,
            &[
                "wifis.wlan0.regulatory-domain",
                "wifis.wlan0.access-points.band",
                "wifis.wlan1.access-points",
                "wifis.wlan4.match.driver",
                "wifis.wlan4.access-points.four.auth.key-management",
                "wifis.wlan5.access-points.five",
                "wifis.wlan6.access-points.six",
            ],
        );
    }
}
