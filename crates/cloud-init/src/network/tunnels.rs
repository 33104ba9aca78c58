//! netplan's `tunnels`: those of WireGuard (netplan's YAML reference, "Properties for device type `tunnels:`").

use serde::Serialize;
use serde_json::Value;

use super::netplan::keys;
use super::{Network, number, text, texts};

/// Keys of a tunnel of this kind, next to those of every link.
pub(super) const READ: &[&str] = &["mode", "key", "keys", "port", "mark", "peers"];

/// `rancher.network.interfaces.NAME.wireguard`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Wireguard {
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen_port: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fwmark: Option<u64>,
    /// netplan's tunnels have no routes but those that they name.
    routes: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<Peer>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Peer {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preshared_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keepalive: Option<u64>,
    allowed_ips: Vec<String>,
}

/// A tunnel; none, with a word, when it is of another kind.
pub(super) fn translate(network: &mut Network, key: &str, link: &Value) -> Option<Wireguard> {
    let mode = link.get("mode").and_then(text).unwrap_or_default();
    if mode != "wireguard" {
        let message = format!("mode is {mode:?}: this version has tunnels of wireguard only");
        network.note(key, &message);
        return None;
    }
    let at = |pointer: &str| link.pointer(pointer).and_then(text);
    let peers = link.get("peers").and_then(Value::as_array);
    let peers = peers.into_iter().flatten().enumerate();
    let peers = peers.map(|(index, value)| {
        for field in keys(Some(value)) {
            if !matches!(
                field.as_str(),
                "keys" | "endpoint" | "keepalive" | "allowed-ips"
            ) {
                network.note(
                    &format!("{key}.peers[{index}].{field}"),
                    "not applied by this version",
                );
            }
        }
        peer(value)
    });
    Some(Wireguard {
        peers: peers.collect(),
        private_key: at("/keys/private").or_else(|| at("/key")),
        listen_port: link.get("port").and_then(number),
        fwmark: link.get("mark").and_then(number),
        routes: false,
    })
}

fn peer(value: &Value) -> Peer {
    Peer {
        public_key: value.pointer("/keys/public").and_then(text),
        preshared_key: value.pointer("/keys/shared").and_then(text),
        endpoint: value.get("endpoint").and_then(text),
        keepalive: value.get("keepalive").and_then(number),
        allowed_ips: value.get("allowed-ips").map(texts).unwrap_or_default(),
    }
}
