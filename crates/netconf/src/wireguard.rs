//! WireGuard devices from `wireguard` of an interface: keys, peers, and where the peers are.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::cloud_config as entry;
use sys::netlink::wireguard::{Device, Key, WireguardPeer};
use sys::netlink::{Cidr, Result as Netlink, wireguard::Wireguard as Handle};

use crate::values::cidr;

/// A key's file is one line; more is not read.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// A device, as far as the configuration says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wireguard {
    /// Its own key.
    pub private_key: Key,
    /// UDP port.
    pub listen_port: Option<u16>,
    /// Mark of the packets that it sends.
    pub fwmark: u32,
    /// Whether `allowed_ips` become routes.
    pub has_routes: bool,
    /// Whom it talks with.
    pub peers: Vec<Peer>,
}

/// Another end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// By which it is known.
    pub public_key: Key,
    /// Shared in addition.
    pub preshared_key: Option<Key>,
    /// Where it is.
    pub endpoint: Option<Endpoint>,
    /// Seconds; 0: no packets for that alone.
    pub keepalive: u16,
    /// What it may send, and what is sent to it.
    pub allowed_ips: Vec<Cidr>,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At an address.
    At(SocketAddr),
    /// At the address of a host, which this crate does not look for.
    Host(String, u16),
}

/// The base64 of a key, as `wg pubkey` prints it.
pub fn text(key: &Key) -> String {
    STANDARD.encode(key.bytes())
}

/// Gives the device called `name` its keys and peers; a peer whose host's address is not known yet waits for it.
///
/// # Errors
/// When the kernel has no WireGuard, no device of this name, or refuses a key.
pub fn set(name: &str, wanted: &Wireguard) -> Netlink<()> {
    let peers = wanted.peers.iter().map(|peer| WireguardPeer {
        public_key: peer.public_key.clone(),
        preshared_key: peer.preshared_key.clone(),
        endpoint: match peer.endpoint {
            Some(Endpoint::At(address)) => Some(address),
            Some(Endpoint::Host(..)) | None => None,
        },
        keepalive: peer.keepalive,
        allowed_ips: peer.allowed_ips.clone(),
    });
    let device = Device {
        private_key: wanted.private_key.clone(),
        listen_port: wanted.listen_port,
        fwmark: wanted.fwmark,
        peers: peers.collect(),
    };
    Handle::open()?.set(name, &device)
}

/// A device without a key is left out; a peer that is wrong costs itself only.
pub(crate) fn plan(wanted: &entry::Wireguard) -> (Option<Wireguard>, Vec<String>) {
    let mut problems = Vec::new();
    let mut say = |problem: Option<String>| problems.extend(problem);
    let private_key = match wanted.private_key.as_deref() {
        None => Err("private_key is missing".to_owned()),
        Some(text) => key(text).map_err(|error| format!("private_key: {error}")),
    };
    let private_key = match private_key {
        Ok(key) => key,
        Err(error) => return (None, vec![error]),
    };
    let listen_port = number(wanted.listen_port, "listen_port", &mut say);
    let fwmark = number(wanted.fwmark, "fwmark", &mut say);
    let mut peers: Vec<Peer> = Vec::new();
    for (index, wanted) in wanted.peers.iter().enumerate() {
        let mut say_of = |problem: String| say(Some(format!("peers[{index}]: {problem}")));
        match peer(wanted, &mut say_of) {
            Ok(peer)
                if peers
                    .iter()
                    .any(|known| known.public_key == peer.public_key) =>
            {
                say_of("another peer has the same public_key".to_owned());
            }
            Ok(peer) => peers.push(peer),
            Err(error) => say_of(error),
        }
    }
    let device = Wireguard {
        private_key,
        listen_port,
        fwmark: fwmark.unwrap_or(0),
        has_routes: wanted.routes.unwrap_or(true),
        peers,
    };
    (Some(device), problems)
}

fn number<T: TryFrom<i64>>(
    value: Option<i64>,
    name: &str,
    say: &mut impl FnMut(Option<String>),
) -> Option<T> {
    let number = T::try_from(value?);
    if number.is_err() {
        say(Some(format!("{name} is out of range")));
    }
    number.ok()
}

fn peer(wanted: &entry::WireguardPeer, say: &mut impl FnMut(String)) -> Result<Peer, String> {
    let public_key = wanted
        .public_key
        .as_deref()
        .ok_or("public_key is missing")?;
    let public_key = decode(public_key).map_err(|error| format!("public_key: {error}"))?;
    // Without the shared key it would talk to somebody who does not have it.
    let preshared_key = wanted.preshared_key.as_deref().map(key).transpose();
    let preshared_key = preshared_key.map_err(|error| format!("preshared_key: {error}"))?;
    let mut allowed_ips = Vec::new();
    for text in &wanted.allowed_ips {
        match cidr(text) {
            Ok(network) => allowed_ips.push(network),
            Err(error) => say(format!("allowed_ips: {error}")),
        }
    }
    let endpoint = wanted.endpoint.as_deref().map(endpoint).transpose();
    let endpoint = endpoint.unwrap_or_else(|error| {
        say(error);
        None
    });
    let mut say_option = |problem: Option<String>| problem.into_iter().for_each(&mut *say);
    let keepalive = number(wanted.keepalive, "keepalive", &mut say_option);
    Ok(Peer {
        public_key,
        preshared_key,
        endpoint,
        keepalive: keepalive.unwrap_or(0),
        allowed_ips,
    })
}

/// `192.0.2.1:51820`, `[2001:db8::1]:51820` or `host.example.org:51820`.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Endpoint::At(address));
    }
    let wrong = || format!("endpoint: {text:?} is not HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let is_address = host.parse::<IpAddr>().is_ok();
    if host.is_empty() || is_address || host.contains([':', '[', ']', '/', ' ']) {
        return Err(wrong());
    }
    Ok(Endpoint::Host(host.to_owned(), port))
}

/// A key, or the first line of the file that is named.
fn key(text: &str) -> Result<Key, String> {
    let text = text.trim();
    if !text.starts_with('/') {
        return decode(text);
    }
    let path = Path::new(text);
    let length = fs::metadata(path).map(|file| if file.is_file() { file.len() } else { u64::MAX });
    match length {
        Err(error) => Err(format!("{text}: {error}")),
        Ok(length) if length > MAX_KEY_FILE_BYTES => Err(format!("{text}: not a file with a key")),
        Ok(_) => {
            let content = fs::read_to_string(path).map_err(|error| format!("{text}: {error}"))?;
            decode(content.trim()).map_err(|error| format!("{text}: {error}"))
        }
    }
}

/// The text itself is not repeated: it may be a private key with a typing error.
fn decode(text: &str) -> Result<Key, String> {
    let bytes = STANDARD.decode(text).ok();
    bytes
        .and_then(|bytes| Key::from_slice(&bytes))
        .ok_or_else(|| {
            "not a key of WireGuard: 44 characters, as `wg genkey` prints them".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    const OTHER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

    fn read(yaml: &str) -> (Option<Wireguard>, Vec<String>) {
        let text =
            format!("rancher: {{network: {{interfaces: {{wg0: {{wireguard: {{{yaml}}}}}}}}}}}");
        let source = config::Source {
            name: "t",
            text: &text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        plan(
            loaded.config.rancher.network.interfaces["wg0"]
                .wireguard
                .as_ref()
                .unwrap(),
        )
    }

    #[test]
    fn a_device_has_what_its_entry_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, format!("{KEY}\n")).unwrap();
        let (device, problems) = read(&format!(
            "private_key: {}, listen_port: 51820, fwmark: 9, peers: [{{public_key: {OTHER}, preshared_key: {KEY}, endpoint: '[2001:db8::1]:7', allowed_ips: [10.0.0.0/24, 'fd00::1'], keepalive: 25}}]",
            file.display()
        ));
        assert!(problems.is_empty(), "{problems:?}");
        let device = device.unwrap();
        assert_eq!(text(&device.private_key), KEY);
        assert_eq!(
            (device.listen_port, device.fwmark, device.has_routes),
            (Some(51820), 9, true)
        );
        let peer = &device.peers[0];
        assert_eq!(
            (text(&peer.public_key).as_str(), peer.keepalive),
            (OTHER, 25)
        );
        assert_eq!(
            peer.endpoint,
            Some(Endpoint::At("[2001:db8::1]:7".parse().unwrap()))
        );
        let allowed: Vec<String> = peer.allowed_ips.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["10.0.0.0/24", "fd00::1/128"]);
    }

    #[test]
    fn hosts_are_told_from_addresses_and_from_nonsense() {
        let host = |text: &str| endpoint(text);
        assert_eq!(
            host("a.example:7"),
            Ok(Endpoint::Host("a.example".into(), 7))
        );
        assert_eq!(
            host(" 192.0.2.1:7 "),
            Ok(Endpoint::At("192.0.2.1:7".parse().unwrap()))
        );
        for bad in [
            "",
            "a",
            "a:",
            ":7",
            "a:70000",
            "2001:db8::1:7",
            "http://a:7",
            "::1",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_costs_itself_and_no_key_is_shown() {
        let secret = "c2VjcmV0IHRoYXQgaXMgdG9vIHNob3J0";
        for (yaml, words) in [
            ("peers: []".to_owned(), "private_key is missing"),
            (format!("private_key: {secret}"), "private_key: not a key"),
            (
                "private_key: /nonexistent/key".to_owned(),
                "/nonexistent/key: ",
            ),
            ("private_key: /proc".to_owned(), "not a file with a key"),
        ] {
            let (device, problems) = read(&yaml);
            assert!(device.is_none(), "{yaml}");
            assert!(
                problems[0].contains(words) && !problems[0].contains(secret),
                "{problems:?}"
            );
        }
        let (device, problems) = read(&format!(
            "private_key: {KEY}, listen_port: 70000, peers: [{{public_key: {OTHER}, allowed_ips: [x], endpoint: y, keepalive: -1}}, {{public_key: {OTHER}}}, {{public_key: {OTHER}, preshared_key: z}}, {{}}]"
        ));
        assert_eq!(device.unwrap().peers.len(), 1);
        for words in [
            "listen_port is out of range",
            "peers[0]: allowed_ips: ",
            "peers[0]: endpoint: ",
            "peers[0]: keepalive is out of range",
            "peers[1]: another peer",
            "peers[2]: preshared_key: ",
            "peers[3]: public_key is missing",
        ] {
            assert!(
                problems.iter().any(|problem| problem.contains(words)),
                "{words}: {problems:?}"
            );
        }
    }
}
