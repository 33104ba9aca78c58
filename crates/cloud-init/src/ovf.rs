//! Files of properties, `ovf-env.xml`: those of VMware's and VirtualBox's appliances (DMTF DSP0243), and Azure's, which has the
//! same name and another content.

use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use crate::media::{self, Contents, read_bounded};
use crate::{Error, Metadata, Result, metadata, mime};

/// The file on the disc.
const FILE: &str = "ovf-env.xml";
/// Most elements and attributes of a document.
const MOST_NODES: u32 = 20_000;

/// What the first disc with a file of properties says; none when no disc has one. `mount_point` is used meanwhile.
///
/// # Errors
/// A file that cannot be read, or is not a file of properties.
pub fn find(mount_point: &Path) -> Result<Option<Contents>> {
    for disc in media::discs() {
        let text = media::mounted(&disc, mount_point, |directory| {
            read_bounded(&directory.join(FILE), metadata::MAX_BYTES)
        });
        // A disc that cannot be mounted is another one, or none.
        if let Ok(Ok(Some(bytes))) = text {
            let text = String::from_utf8(bytes)
                .map_err(|error| Error::Metadata(format!("{FILE}: {error}")))?;
            return parse(&text).map(Some);
        }
    }
    Ok(None)
}

/// Reads either kind of document.
///
/// # Errors
/// Not XML, or neither kind.
pub fn parse(text: &str) -> Result<Contents> {
    let wrong = |error: &str| Error::Metadata(format!("{FILE}: {error}"));
    let document = document(text).map_err(|error| wrong(&error))?;
    let section = |name: &str| section(&document, name);
    if let Some(section) = section("ProvisioningSection") {
        return Ok(azure(section));
    }
    match section("PropertySection") {
        Some(section) => Ok(properties(section)),
        None => Err(wrong("it has neither properties nor provisioning data")),
    }
}

/// A section of this machine; in a group of machines others are in elements `Entity` (DSP0243, 11).
fn section<'a, 'i>(document: &'a Document<'i>, name: &str) -> Option<Node<'a, 'i>> {
    let mut sections = document.root_element().children();
    sections.find(|node| node.tag_name().name() == name)
}

/// Parses XML that defines no entities, with a limit.
pub(crate) fn document(text: &str) -> std::result::Result<Document<'_>, String> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
    };
    Document::parse_with_options(text.trim_start_matches('\u{feff}'), options)
        .map_err(|error| error.to_string())
}

pub(crate) fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.descendants().filter(Node::is_element)
}

/// The text of the first element of this name.
pub(crate) fn text_of(node: Node<'_, '_>, name: &str) -> Option<String> {
    let found = elements(node).find(|node| node.tag_name().name() == name)?;
    let text = found.text().unwrap_or("").trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn azure(section: Node<'_, '_>) -> Contents {
    let keys = elements(section).filter(|node| node.tag_name().name() == "PublicKey");
    Contents {
        user_data: unpacked(
            text_of(section, "CustomData").or_else(|| text_of(section, "UserData")),
        ),
        metadata: Ok(Some(Metadata {
            hostname: text_of(section, "HostName"),
            ssh_authorized_keys: keys
                .filter_map(|key| text_of(key, "Value"))
                .take(metadata::MAX_KEYS)
                .collect(),
            source: Some("azure".to_owned()),
            ..Metadata::default()
        })),
        notes: Vec::new(),
    }
}

fn unpacked(text: Option<String>) -> Result<Option<Vec<u8>>> {
    let bytes = text.map(|text| {
        mime::base64(&text).ok_or_else(|| Error::Metadata("user data is not base64".to_owned()))
    });
    bytes.transpose()
}

/// Keys and values of a document's properties that are not empty.
fn pairs(root: Node<'_, '_>) -> impl Iterator<Item = (String, String)> {
    let attribute = |node: Node<'_, '_>, name: &str| {
        node.attributes()
            .find(|attribute| attribute.name() == name)
            .map(|attribute| attribute.value().to_owned())
    };
    let nodes = elements(root).filter(|node| node.tag_name().name() == "Property");
    let pairs =
        nodes.filter_map(move |node| Some((attribute(node, "key")?, attribute(node, "value")?)));
    pairs.filter(|(_, value)| !value.trim().is_empty())
}

/// The properties whose key begins with `prefix`, by the rest of it; none of what is not a document of properties.
pub(crate) fn settings(text: &str, prefix: &str) -> Vec<(String, String)> {
    let Ok(document) = document(text) else {
        return Vec::new();
    };
    let own = section(&document, "PropertySection");
    let ours = own.into_iter().flat_map(pairs).filter_map(|(key, value)| {
        let key = key.strip_prefix(prefix)?;
        Some((key.to_owned(), value.trim().to_owned()))
    });
    ours.collect()
}

fn properties(section: Node<'_, '_>) -> Contents {
    let value = |wanted: &str| {
        let found = pairs(section).find(|(key, _)| key == wanted);
        found.map(|(_, value)| value)
    };
    let mut notes = Vec::new();
    for key in ["password", "seedfrom"] {
        if value(key).is_some() {
            notes.push(format!(
                "{FILE}: property {key} is not applied: put it into the user data"
            ));
        }
    }
    let data = value("user-data").or_else(|| value("guestinfo.userdata"));
    // RancherOS's own key, perhaps packed.
    let own = value("guestinfo.cloud-init.config.data");
    let user_data = match (data, own) {
        (Some(data), _) => unpacked(Some(data)),
        (None, Some(data)) if data.trim_start().starts_with('#') => Ok(Some(data.into_bytes())),
        (None, own) => unpacked(own),
    };
    let keys = value("public-keys").map(serde_json::Value::String);
    Contents {
        user_data,
        metadata: Ok(Some(Metadata {
            hostname: value("hostname").or_else(|| value("guestinfo.hostname")),
            instance_id: value("instance-id"),
            ssh_authorized_keys: metadata::keys(keys.as_ref()),
            source: Some("ovf".to_owned()),
            ..Metadata::default()
        })),
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVF: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" oe:id="">
  <PlatformSection><Kind>VMware ESXi</Kind></PlatformSection>
  <PropertySection>
    <Property oe:key="hostname" oe:value="web1"/>
    <Property oe:key="instance-id" oe:value="iid-1"/>
    <Property oe:key="public-keys" oe:value="ssh-rsa AAAA a"/>
    <Property oe:key="password" oe:value="secret"/>
    <Property oe:key="user-data" oe:value="I2Nsb3VkLWNvbmZpZwo="/>
  </PropertySection>
</Environment>"#;

    const AZURE: &str = r#"<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="http://schemas.microsoft.com/windowsazure">
  <wa:ProvisioningSection><wa:Version>1.0</wa:Version>
    <LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure">
      <HostName>vm1</HostName><UserName>azureuser</UserName>
      <SSH><PublicKeys><PublicKey><Fingerprint>F</Fingerprint><Path>p</Path><Value>ssh-rsa BBBB b</Value></PublicKey></PublicKeys></SSH>
      <CustomData>I2Nsb3VkLWNvbmZpZwo=</CustomData>
    </LinuxProvisioningConfigurationSet>
  </wa:ProvisioningSection></Environment>"#;

    #[test]
    fn both_kinds_are_told_apart_and_read() {
        for (text, source, name, key) in [
            (OVF, "ovf", "web1", "ssh-rsa AAAA a"),
            (AZURE, "azure", "vm1", "ssh-rsa BBBB b"),
        ] {
            let contents = parse(text).unwrap();
            assert_eq!(contents.user_data.unwrap().unwrap(), b"#cloud-config\n");
            let metadata = contents.metadata.unwrap().unwrap();
            assert_eq!(metadata.source.as_deref(), Some(source));
            assert_eq!(metadata.hostname.as_deref(), Some(name));
            assert_eq!(metadata.ssh_authorized_keys, [key]);
            assert_eq!(contents.notes.len(), usize::from(source == "ovf"));
        }
    }

    #[test]
    fn properties_of_other_machines_are_not_ours() {
        let other = r#"<Entity oe:id="other"><PropertySection><Property oe:key="guestinfo.dns.server.0" oe:value="10.0.0.9"/></PropertySection></Entity>"#;
        for text in [
            OVF.replace("<PropertySection>", &format!("{other}<PropertySection>")),
            OVF.replace("</Environment>", &format!("{other}</Environment>")),
        ] {
            let metadata = parse(&text).unwrap().metadata.unwrap().unwrap();
            assert_eq!(metadata.hostname.as_deref(), Some("web1"));
            assert_eq!(settings(&text, "guestinfo."), []);
            assert_eq!(settings(&text, "host"), [("name".into(), "web1".into())]);
        }
    }

    #[test]
    fn hostile_documents_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><Environment>&b;</Environment>";
        let large = format!("<Environment>{}</Environment>", "<a/>".repeat(30_000));
        for text in [
            "",
            "<Environment/>",
            "{}",
            "<html><body></html>",
            bomb,
            &large,
        ] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(40)]);
        }
        let bad = AZURE.replace("I2Nsb3VkLWNvbmZpZwo=", "!!!");
        assert!(parse(&bad).unwrap().user_data.is_err());
    }
}
