//! Which datasources a machine has: by its firmware's words, by the kernel command line, and by the configuration.
//!
//! An address of a metadata service is asked only when one of these three names its platform: on a foreign network the same
//! address belongs to somebody else.

use config::CommandLine;

use crate::dmi::{Dmi, Field};
use crate::seed::Seed;

/// How a field must look.
#[derive(Debug, Clone, Copy)]
enum Text {
    Is(&'static str),
    Starts(&'static str),
    Ends(&'static str),
    /// The first group of a UUID ends so, in any case: EC2's older hosts swap the bytes of `ec2`.
    FirstGroupEnds(&'static str),
}

impl Text {
    fn fits(self, text: &str) -> bool {
        match self {
            Text::Is(wanted) => text == wanted,
            Text::Starts(wanted) => text
                .get(..wanted.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(wanted)),
            Text::Ends(wanted) => text.ends_with(wanted),
            Text::FirstGroupEnds(wanted) => {
                let group = text.split('-').next().unwrap_or("").to_ascii_lowercase();
                group.len() == 8
                    && group.ends_with(wanted)
                    && group.as_bytes().get(4) == Some(&b'2')
            }
        }
    }
}

/// Firmware's words for platforms (cloud-init's tools/ds-identify and the vendors' documents). A row that fits names the
/// datasource; the first one counts, so a clone of EC2 stands by its own words.
#[rustfmt::skip] // one line a platform, so that it can be read as a table
const PLATFORMS: &[(&str, Field, Text)] = &[
    ("ec2", Field::SysVendor, Text::Is("Amazon EC2")),
    ("ec2", Field::ProductSerial, Text::Ends(".brightbox.com")),
    ("ec2", Field::ChassisAssetTag, Text::Ends(".zstack.io")),
    ("ec2", Field::SysVendor, Text::Is("e24cloud")),
    ("ec2", Field::SysVendor, Text::Is("Tilaa")),
    ("ec2", Field::ProductName, Text::Is("3DS Outscale VM")),
    ("gce", Field::ProductName, Text::Is("Google Compute Engine")),
    ("gce", Field::ProductSerial, Text::Starts("GoogleCloud-")),
    ("azure", Field::ChassisAssetTag, Text::Is("7783-7084-3265-9085-8269-3286-77")),
    ("digitalocean", Field::SysVendor, Text::Is("DigitalOcean")),
    ("hetzner", Field::SysVendor, Text::Is("Hetzner")),
    ("vultr", Field::SysVendor, Text::Is("Vultr")),
    ("scaleway", Field::SysVendor, Text::Is("Scaleway")),
    ("oracle", Field::ChassisAssetTag, Text::Is("OracleCloud.com")),
    ("akamai", Field::SysVendor, Text::Is("Akamai")),
    ("akamai", Field::SysVendor, Text::Is("Linode")),
    ("upcloud", Field::SysVendor, Text::Is("UpCloud")),
    ("cloudstack", Field::ProductName, Text::Starts("CloudStack")),
    ("exoscale", Field::ProductName, Text::Starts("Exoscale")),
    ("aliyun", Field::ProductName, Text::Is("Alibaba Cloud ECS")),
    ("openstack", Field::ProductName, Text::Is("OpenStack Nova")),
    ("openstack", Field::ProductName, Text::Is("OpenStack Compute")),
    ("openstack", Field::ChassisAssetTag, Text::Is("OpenStack Nova")),
    ("openstack", Field::ChassisAssetTag, Text::Is("OpenStack Compute")),
    ("openstack", Field::ChassisAssetTag, Text::Is("OpenTelekomCloud")),
    ("openstack", Field::ChassisAssetTag, Text::Is("SAP CCloud VM")),
    ("openstack", Field::ChassisAssetTag, Text::Is("HUAWEICLOUD")),
    ("openstack", Field::ChassisAssetTag, Text::Is("Samsung Cloud Platform")),
    ("vmware", Field::SysVendor, Text::Starts("VMware")),
];

/// EC2's older hosts have Xen's words and an own UUID. Without Xen's words, one UUID in 4096 would be taken for EC2's.
const XEN_UUIDS: [Text; 2] = [Text::Starts("ec2"), Text::FirstGroupEnds("ec")];

/// Words of the kernel command line that name a platform whose firmware does not (bare metal).
const WORDS: &[(&str, &str)] = &[("vultr", "vultr"), ("scaleway", "scaleway")];

/// Names that RancherOS or cloud-init has for a datasource of ours, in lower case.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("google", "gce"),
    ("digital-ocean", "digitalocean"),
    ("alibaba", "aliyun"),
    ("linode", "akamai"),
    ("oci", "oracle"),
    ("equinix", "packet"),
    ("nocloud-net", "nocloud"),
    ("config-drive", "configdrive"),
    ("proxmox", "nocloud"),
    ("incus", "lxd"),
    ("guestinfo", "vmware"),
];

/// The platform by the firmware's words.
pub fn by_firmware(dmi: &Dmi) -> Option<&'static str> {
    let row = PLATFORMS
        .iter()
        .find(|(_, field, text)| text.fits(dmi.get(*field)));
    if row.is_none() && dmi.get(Field::SysVendor) == "Xen" {
        let uuid = dmi.get(Field::ProductUuid);
        return XEN_UUIDS
            .iter()
            .any(|text| text.fits(uuid))
            .then_some("ec2");
    }
    row.map(|(name, ..)| *name)
}

/// The platform that the kernel command line names: `ds=NAME` (cloud-init's) or our own word.
pub fn by_command_line(line: &CommandLine) -> Option<String> {
    let ds = line
        .values("ds")
        .last()
        .and_then(|value| value.split(';').next());
    let ds = ds.filter(|name| !name.is_empty()).map(plain_name);
    ds.or_else(|| {
        let is_there = |word: &str| {
            line.parameters()
                .iter()
                .any(|p| p.key == word && p.value.is_none())
        };
        let word = WORDS.iter().find(|(word, _)| is_there(word));
        word.map(|(_, name)| (*name).to_owned())
    })
}

/// A datasource's own name.
fn plain_name(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == name);
    other.map_or(name, |(_, own)| (*own).to_owned())
}

/// A datasource that is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name: `ec2`, `configdrive`, `nocloud`, `file`, `url` ...
    pub name: String,
    /// What follows the name in the configuration: a path or an address.
    pub argument: Option<String>,
    /// Why it is asked, for the log.
    pub reason: String,
}

impl Wanted {
    fn new(name: &str, argument: Option<&str>, reason: &str) -> Wanted {
        Wanted {
            name: name.to_owned(),
            argument: argument.filter(|text| !text.is_empty()).map(str::to_owned),
            reason: reason.to_owned(),
        }
    }
}

/// What this machine's datasources are, the first that has something wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// A place of NoCloud's files that the command line or the firmware names.
    pub seed: Option<Seed>,
    /// The others in order.
    pub wanted: Vec<Wanted>,
}

/// Whether a datasource lies on a disk or in the machine, so that asking needs no network.
pub fn is_local(name: &str) -> bool {
    matches!(
        name,
        "configdrive" | "nocloud" | "file" | "vmware" | "ovf" | "lxd"
    )
}

/// Chooses from `rancher.cloud_init.datasources`: `*` is whatever platform this is, a name is that one. What is
/// on a disk comes before what the network has: a config drive wins over the service of the same platform.
pub fn choose(datasources: &[String], dmi: &Dmi, line: &CommandLine) -> Choice {
    let mut choice = Choice::default();
    if datasources.is_empty() {
        return choice;
    }
    choice.seed = Seed::find(dmi, line);
    let firmware = by_firmware(dmi);
    let mut add = |wanted: Wanted| {
        if !choice
            .wanted
            .iter()
            .any(|known| known.name == wanted.name && known.argument == wanted.argument)
        {
            choice.wanted.push(wanted);
        }
    };
    if let Some(name) = by_command_line(line) {
        add(Wanted::new(&name, None, "the kernel command line names it"));
    }
    for url in line.values("cloud-config-url") {
        add(Wanted::new(
            "url",
            Some(url),
            "cloud-config-url of the kernel command line",
        ));
    }
    for entry in datasources {
        let (name, argument) = match entry.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (entry.as_str(), None),
        };
        match plain_name(name).as_str() {
            // What a label or a socket shows may be looked for on every machine.
            "*" => {
                for name in ["configdrive", "nocloud", "lxd"] {
                    add(Wanted::new(name, None, "looked for on every machine"));
                }
                if let Some(name) = firmware {
                    add(Wanted::new(name, None, "the firmware names it"));
                }
            }
            // cloud-config-url is taken above, whatever the list says.
            "cmdline" | "" => {}
            name => add(Wanted::new(name, argument, "the configuration names it")),
        }
    }
    choice.wanted.sort_by_key(|wanted| {
        let by_firmware = firmware.is_some_and(|name| name == wanted.name);
        (!is_local(&wanted.name), !by_firmware)
    });
    choice
}

#[cfg(test)]
#[path = "platform_tests.rs"]
mod tests;
