//! A NoCloud seed that the kernel command line or the firmware's serial number names: `ds=nocloud;s=URL;h=HOST;i=ID`
//! (cloud-init's documentation, "NoCloud").

use config::CommandLine;

use crate::dmi::{Dmi, Field};

/// Where NoCloud's files are, and what is known without them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// Address or directory that the files' names are added to; none when only the words count.
    pub place: Option<Place>,
    /// Host name.
    pub hostname: Option<String>,
    /// The machine's id.
    pub instance_id: Option<String>,
    /// Who named it, for the log.
    pub named_by: &'static str,
}

/// A place of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// http or https.
    Url(String),
    /// A directory of this machine.
    Directory(String),
    /// A scheme that this system does not fetch, as it was written.
    Unsupported(String),
}

impl Seed {
    /// The command line wins over the firmware.
    pub fn find(dmi: &Dmi, line: &CommandLine) -> Option<Seed> {
        let words = line.values("ds").last().unwrap_or("");
        let on_line = parse(words, dmi, "the kernel command line");
        on_line.or_else(|| {
            let serial = dmi.get(Field::ProductSerial);
            let words = serial
                .split_ascii_whitespace()
                .find_map(|word| word.strip_prefix("ds="))?;
            parse(words, dmi, "the firmware's serial number")
        })
    }
}

/// Reads `nocloud;s=URL`; none when nothing follows the name, which then means a disc.
fn parse(words: &str, dmi: &Dmi, named_by: &'static str) -> Option<Seed> {
    let mut parts = words.split(';');
    let name = parts.next()?.to_ascii_lowercase();
    if name != "nocloud" && name != "nocloud-net" {
        return None;
    }
    let mut seed = Seed {
        named_by,
        ..Seed::default()
    };
    for part in parts {
        let Some((key, value)) = part.split_once('=') else {
            continue;
        };
        let value = expand(value.trim(), dmi);
        match key.trim() {
            "s" | "seedfrom" => seed.place = place(&value),
            "h" | "local-hostname" => seed.hostname = Some(value),
            "i" | "instance-id" => seed.instance_id = Some(value),
            _ => {}
        }
    }
    let is_empty = seed.place.is_none() && seed.hostname.is_none() && seed.instance_id.is_none();
    (!is_empty).then_some(seed)
}

fn place(text: &str) -> Option<Place> {
    if text.is_empty() {
        return None;
    }
    Some(match text.split_once("://") {
        Some(("http" | "https", _)) => Place::Url(text.to_owned()),
        Some(("file", path)) => Place::Directory(path.to_owned()),
        None if text.starts_with('/') => Place::Directory(text.to_owned()),
        _ => Place::Unsupported(text.to_owned()),
    })
}

/// `__dmi.chassis-serial-number__` becomes that field's text.
fn expand(text: &str, dmi: &Dmi) -> String {
    let mut expanded = text.to_owned();
    for (field, file) in Field::ALL {
        let name = match field {
            Field::SysVendor => "system-manufacturer".to_owned(),
            Field::ProductName => "system-product-name".to_owned(),
            Field::ProductSerial => "system-serial-number".to_owned(),
            Field::ProductUuid => "system-uuid".to_owned(),
            Field::ChassisSerial => "chassis-serial-number".to_owned(),
            Field::ChassisAssetTag => "chassis-asset-tag".to_owned(),
            Field::BoardVendor => "baseboard-manufacturer".to_owned(),
        };
        for name in [name, file.to_owned()] {
            expanded = expanded.replace(&format!("__dmi.{name}__"), dmi.get(field));
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(serial: &str, line: &str) -> Option<Seed> {
        let mut dmi = Dmi::default();
        dmi.set(Field::ProductSerial, serial);
        dmi.set(Field::ChassisSerial, "C42");
        Seed::find(&dmi, &CommandLine::parse(line))
    }

    #[test]
    fn seeds_are_named_by_the_command_line_and_the_firmware() {
        let url = |text: &str| Some(Place::Url(text.to_owned()));
        for (serial, line, place) in [
            (
                "",
                "ds=nocloud-net;s=http://10.0.2.2:8000/",
                url("http://10.0.2.2:8000/"),
            ),
            (
                "",
                "quiet \"ds=nocloud;s=http://a/b/\" ro",
                url("http://a/b/"),
            ),
            (
                "ds=nocloud;s=http://10.0.2.2:8000/",
                "",
                url("http://10.0.2.2:8000/"),
            ),
            (
                "X ds=nocloud;s=http://a/__dmi.chassis-serial-number__/",
                "",
                url("http://a/C42/"),
            ),
            (
                "ds=nocloud;s=http://a/",
                "ds=nocloud;s=http://b/",
                url("http://b/"),
            ),
            (
                "",
                "ds=nocloud;s=/srv/seed/",
                Some(Place::Directory("/srv/seed/".into())),
            ),
            (
                "",
                "ds=nocloud;s=file:///srv/seed/",
                Some(Place::Directory("/srv/seed/".into())),
            ),
            (
                "",
                "ds=nocloud;s=ftp://a/",
                Some(Place::Unsupported("ftp://a/".into())),
            ),
        ] {
            assert_eq!(seed(serial, line).unwrap().place, place, "{serial} {line}");
        }
        for line in ["", "ds=nocloud", "ds=ec2;s=http://a/", "ds="] {
            assert_eq!(seed("ABC123", line), None, "{line}");
        }
        let named = seed("", "ds=nocloud;h=web1;i=i-1").unwrap();
        assert_eq!(
            (named.hostname.as_deref(), named.instance_id.as_deref()),
            (Some("web1"), Some("i-1"))
        );
    }
}
