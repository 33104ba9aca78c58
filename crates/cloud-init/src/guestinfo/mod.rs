//! VMware's guestinfo: settings of the virtual machine that the guest may ask for (cloud-init's datasource "VMware", and the keys
//! of RancherOS's).
//!
//! [`answers`] asks the hypervisor, in a separate process since the processor ends one that asks elsewhere; [`contents`] reads
//! what it said.

mod rpc;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::media::Contents;
use crate::network::guestinfo as links;
use crate::{Error, metadata, mime, network, ovf, user_data};

/// Keys that are asked for, behind `guestinfo.`; each may have a neighbour [`encoding_of`] it.
const KEYS: &[&str] = &[METADATA, "userdata", RANCHEROS];
const METADATA: &str = "metadata";
/// RancherOS's user data.
const RANCHEROS: &str = "cloud-init.config.data";
/// Keys that are text, next to those of [`NOT_APPLIED`].
const HOSTNAME: &str = "hostname";
/// Keys that mean something elsewhere, and what to do in place of them.
const NOT_APPLIED: &[(&str, &str)] = &[
    ("vendordata", "put it into guestinfo.userdata"),
    (
        "cloud-init.config.url",
        "put the text into guestinfo.userdata, or `#include` and the address",
    ),
];
/// The properties of an appliance, as a disc of theirs has them.
const PROPERTIES: &str = "ovfEnv";
/// What a property's key begins with when it is one of these settings.
const PREFIX: &str = "guestinfo.";
/// What cloud-init leaves where it has wiped a value.
const WIPED: &str = "---";

/// Values by key, as the machine's settings have them.
pub type Answers = BTreeMap<String, String>;

fn encoding_of(key: &str) -> String {
    match key {
        RANCHEROS => "cloud-init.data.encoding".to_owned(),
        _ => format!("{key}.encoding"),
    }
}

/// Asks the hypervisor for every key. **Only on a machine of VMware's**: elsewhere the process ends with SIGSEGV.
///
/// # Errors
/// A hypervisor that does not answer, in words.
pub fn answers() -> Result<Answers, String> {
    ask(rpc::Backdoor)
}

fn ask(port: impl rpc::Port) -> Result<Answers, String> {
    let mut channel = rpc::Channel::open(port).map_err(|failure| failure.to_string())?;
    let mut answers = Answers::new();
    let encodings = KEYS.iter().map(|key| encoding_of(key));
    let plain = NOT_APPLIED.iter().map(|(key, _)| key);
    let keys = KEYS.iter().chain(plain).chain([&HOSTNAME, &PROPERTIES]);
    let mut value = |key: &str| {
        let value = channel.value(&format!("{PREFIX}{key}"));
        let value = value.map_err(|failure| format!("{PREFIX}{key}: {failure}"))?;
        let value = value.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        Ok::<_, String>(value.filter(|text| !text.is_empty() && text != WIPED))
    };
    for key in keys.map(|key| (*key).to_owned()).chain(encodings) {
        answers.extend(value(&key)?.map(|text| (key, text)));
    }
    answers.append(&mut links::ask(value)?);
    Ok(answers)
}

/// What the settings say; none when they say nothing of ours.
pub fn contents(answers: &Answers) -> Option<Contents> {
    let mut answers = answers.clone();
    let properties = answers.remove(PROPERTIES);
    // A machine that is not of an appliance may have a document without any.
    if let Some(text) = properties.filter(|text| text.contains("PropertySection")) {
        return match ovf::parse(&text) {
            Ok(described) => {
                // Its user data is in `described`, packed or not; a value and its encoding come from one place.
                let mut taken: Vec<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
                if !answers.contains_key(METADATA) {
                    taken.retain(|key| key != METADATA);
                }
                let encodings: Vec<_> = taken.iter().map(|key| encoding_of(key)).collect();
                taken.extend(encodings);
                for (key, value) in ovf::settings(&text, PREFIX) {
                    if !taken.contains(&key) {
                        answers.entry(key).or_insert(value);
                    }
                }
                Some(match of_settings(&answers) {
                    Some(settings) => settings.or(described),
                    None => described,
                })
            }
            Err(error) => {
                let mut contents = of_settings(&answers).unwrap_or_else(Contents::empty);
                contents
                    .notes
                    .push(format!("{PREFIX}{PROPERTIES}: {error}"));
                Some(contents)
            }
        };
    }
    of_settings(&answers)
}

/// As [`contents`], without the properties of an appliance.
fn of_settings(answers: &Answers) -> Option<Contents> {
    if answers.is_empty() {
        return None;
    }
    let value = |key: &str| {
        let text = answers.get(key)?;
        let encoding = answers.get(&encoding_of(key)).map_or("", String::as_str);
        let value = decoded(text, encoding);
        Some(value.map_err(|error| format!("guestinfo.{key}: {error}")))
    };
    let data = value("userdata").or_else(|| value(RANCHEROS));
    let mut contents = Contents {
        user_data: data.transpose().map_err(Error::Service),
        ..Contents::empty()
    };
    match value(METADATA) {
        Some(Ok(bytes)) => contents.describe(&String::from_utf8_lossy(&bytes)),
        Some(Err(error)) => contents.metadata = Err(Error::Service(error)),
        None => {}
    }
    if let Ok(metadata) = &mut contents.metadata {
        let metadata = metadata.get_or_insert_default();
        metadata.source = Some("vmware".to_owned());
        metadata.hostname = metadata
            .hostname
            .take()
            .or_else(|| answers.get(HOSTNAME).cloned());
        metadata.public_ipv4 = links::address(answers, "public", false);
        metadata.private_ipv4 = links::address(answers, "private", false);
        metadata.public_ipv6 = links::address(answers, "public", true);
        metadata.private_ipv6 = links::address(answers, "private", true);
        // cloud-init's description wins over RancherOS's keys.
        if metadata.network.is_none() {
            contents.add_network("guestinfo", Ok(Some(links::translate(answers))));
        }
    }
    let said = NOT_APPLIED
        .iter()
        .filter(|(key, _)| answers.contains_key(*key));
    let said = said.map(|(key, words)| format!("guestinfo.{key} is not applied: {words}"));
    contents.notes.extend(said);
    Some(contents)
}

/// What a value holds, by the word for its encoding.
fn decoded(text: &str, encoding: &str) -> Result<Vec<u8>, String> {
    let base64 = || mime::base64(text).ok_or_else(|| "it is not base64".to_owned());
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" => Ok(text.as_bytes().to_vec()),
        "base64" | "b64" => base64(),
        "gzip+base64" | "gz+b64" => {
            let packed = base64()?;
            user_data::gunzip(&packed, user_data::MAX_BYTES).map_err(|error| error.to_string())
        }
        other => Err(format!(
            "its encoding {other:?} is not known, expected base64 or gzip+base64"
        )),
    }
}

impl Contents {
    /// What is not said here is as `other` says it.
    fn or(mut self, other: Contents) -> Contents {
        if matches!(self.user_data, Ok(None)) {
            self.user_data = other.user_data;
        }
        if let (Ok(Some(own)), Ok(Some(others))) = (&mut self.metadata, other.metadata) {
            own.hostname = own.hostname.take().or(others.hostname);
            own.instance_id = own.instance_id.take().or(others.instance_id);
            if own.ssh_authorized_keys.is_empty() {
                own.ssh_authorized_keys = others.ssh_authorized_keys;
            }
        }
        self.notes.extend(other.notes);
        self
    }

    /// Takes metadata with the network in it, as a map or as a text with `network.encoding`.
    fn describe(&mut self, text: &str) {
        const FILE: &str = "guestinfo.metadata";
        self.metadata = metadata::no_cloud(text).map(Some);
        let Ok((node, _)) = config::parse(FILE, text) else {
            return; // said by the metadata
        };
        let json = node.to_json();
        let described = match json.get("network") {
            None | Some(Value::Null) => return,
            Some(Value::String(text)) => {
                let encoding = json.get("network.encoding").and_then(Value::as_str);
                let bytes = decoded(text, encoding.unwrap_or_default());
                bytes.and_then(|bytes| network::network_config(&String::from_utf8_lossy(&bytes)))
            }
            Some(network) => network::network_value(network),
        };
        self.add_network("guestinfo.metadata: network", described);
    }
}

#[cfg(test)]
mod tests {
    use super::rpc::tests::Fake;
    use super::*;
    use std::io::Write as _;

    fn packed(text: &str) -> String {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encode(&encoder.finish().unwrap())
    }

    fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut word = [0; 4];
            word[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(word);
            for digit in 0..=chunk.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
            }
        }
        text
    }

    fn asked(settings: &[(&str, &str)]) -> Option<Contents> {
        let mut fake = Fake::default();
        for (key, value) in settings {
            let key = format!("guestinfo.{key}");
            fake.settings.insert(key, value.as_bytes().to_vec());
        }
        contents(&ask(&mut fake).unwrap())
    }

    #[test]
    fn a_machine_is_described_by_its_settings() {
        let network = "version: 2\nethernets: {eth0: {dhcp4: true, wakeonlan: true}}\n";
        let metadata = format!(
            "local-hostname: vm1\ninstance-id: iid-1\npublic-keys: [ssh-rsa A]\nnetwork: {}\nnetwork.encoding: gzip+base64\n",
            packed(network)
        );
        let user_data = "#cloud-config\nhostname: a\n";
        let contents = asked(&[
            ("metadata", &packed(&metadata)),
            ("metadata.encoding", "gz+b64"),
            ("userdata", &encode(user_data.as_bytes())),
            ("userdata.encoding", "base64"),
            ("vendordata", "#cloud-config\n"),
        ])
        .unwrap();
        assert_eq!(contents.user_data.unwrap().unwrap(), user_data.as_bytes());
        let metadata = contents.metadata.unwrap().unwrap();
        assert_eq!(metadata.hostname.as_deref(), Some("vm1"));
        assert_eq!(metadata.instance_id.as_deref(), Some("iid-1"));
        assert_eq!(metadata.ssh_authorized_keys, ["ssh-rsa A"]);
        assert_eq!(
            metadata.network.unwrap()["interfaces"]["eth0"]["dhcp"],
            true
        );
        assert_eq!(contents.notes.len(), 2, "{:?}", contents.notes);
        assert!(contents.notes[0].contains("line 2: ethernets.eth0.wakeonlan"));
        assert!(contents.notes[1].starts_with("guestinfo.vendordata is not applied"));
    }

    #[test]
    fn rancheros_keys_hold_and_what_was_wiped_is_nothing() {
        let contents = asked(&[
            ("hostname", "old"),
            ("userdata", "---"),
            ("cloud-init.config.data", &encode(b"#cloud-config\n")),
            ("cloud-init.data.encoding", "base64"),
            ("interface.0.name", "eth0"),
            ("interface.0.role", "public"),
            ("interface.0.ip.0.address", "10.0.0.2/24"),
            ("interface.1.ip.0.address", "10.0.1.2/99"),
        ])
        .unwrap();
        assert_eq!(contents.user_data.unwrap().unwrap(), b"#cloud-config\n");
        let metadata = contents.metadata.unwrap().unwrap();
        assert_eq!(metadata.hostname.as_deref(), Some("old"));
        assert_eq!(metadata.public_ipv4.as_deref(), Some("10.0.0.2"));
        let network = metadata.network.unwrap();
        assert_eq!(network["interfaces"]["eth0"]["addresses"][0], "10.0.0.2/24");
        assert_eq!(contents.notes.len(), 1, "{:?}", contents.notes);
        assert!(contents.notes[0].starts_with("guestinfo: interface.1.ip.0.address: "));
        assert!(asked(&[("userdata", "---")]).is_none());
        assert!(asked(&[]).is_none());
    }

    #[test]
    fn an_appliances_properties_are_settings_too() {
        let properties = |more: &str| {
            format!(
                r#"<Environment xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"><PropertySection>
<Property oe:key="guestinfo.hostname" oe:value="of-the-appliance"/>
<Property oe:key="guestinfo.interface.0.name" oe:value="eth0"/>
<Property oe:key="guestinfo.interface.0.ip.0.address" oe:value="10.0.0.2/24"/>
<Property oe:key="guestinfo.dns.server.0" oe:value=""/>{more}</PropertySection></Environment>"#
            )
        };
        let packed = r#"<Property oe:key="guestinfo.cloud-init.config.data" oe:value="I2Nsb3VkLWNvbmZpZwo="/>"#;
        let contents = asked(&[("ovfEnv", &properties(packed))]).unwrap();
        assert_eq!(contents.user_data.unwrap().unwrap(), b"#cloud-config\n");
        let keys = r#"<Property oe:key="public-keys" oe:value="ssh-rsa A"/>"#;
        let text = properties(keys);
        let contents = asked(&[("ovfEnv", &text), ("userdata", "#cloud-config\n")]).unwrap();
        assert_eq!(contents.user_data.unwrap().unwrap(), b"#cloud-config");
        let metadata = contents.metadata.unwrap().unwrap();
        assert_eq!(metadata.hostname.as_deref(), Some("of-the-appliance"));
        assert_eq!(metadata.ssh_authorized_keys, ["ssh-rsa A"]);
        let network = metadata.network.unwrap();
        assert_eq!(network["interfaces"]["eth0"]["addresses"][0], "10.0.0.2/24");
        assert!(asked(&[("ovfEnv", "<Environment/>")]).is_none());
        let contents = asked(&[("ovfEnv", "<PropertySection"), ("hostname", "a")]).unwrap();
        assert_eq!(
            contents.metadata.unwrap().unwrap().hostname.as_deref(),
            Some("a")
        );
        assert!(
            contents.notes[0].starts_with("guestinfo.ovfEnv: "),
            "{:?}",
            contents.notes
        );
    }

    #[test]
    fn a_part_that_cannot_be_read_leaves_the_other() {
        let contents = asked(&[
            ("userdata", "#cloud-config\n"),
            ("metadata", "x"),
            ("metadata.encoding", "rot13"),
        ])
        .unwrap();
        assert!(contents.user_data.unwrap().is_some());
        let error = contents.metadata.unwrap_err().to_string();
        assert!(error.contains("\"rot13\" is not known"), "{error}");
    }
}
