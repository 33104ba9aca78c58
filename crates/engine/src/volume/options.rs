//! Options of the `local` driver: `type`, `o` and `device`, as mount(8) takes them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine_api::{Error, Result};
use sys::mount::MountFlags;

/// What a volume mounts on its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountOptions {
    pub(super) device: String,
    pub(super) kind: String,
    pub(super) flags: MountFlags,
    pub(super) data: String,
    /// Propagation and binds are flags that mount(2) takes alone.
    pub(super) bind: bool,
    pub(super) recursive: bool,
}

/// Reads driver options; `None`: a plain directory.
pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Option<MountOptions>> {
    let get = |key: &str| options.get(key).cloned().unwrap_or_default();
    if let Some(unknown) = options
        .keys()
        .find(|key| !["type", "o", "device", "size"].contains(&key.as_str()))
    {
        return Err(Error::bad_parameter(format!("invalid option: {unknown:?}")));
    }
    if options.contains_key("size") {
        return Err(Error::bad_parameter(
            "quota size requested but no quota support: use type=tmpfs with o=size=.. for a limit",
        ));
    }
    let (kind, o, device) = (get("type"), get("o"), get("device"));
    if kind.is_empty() && o.is_empty() && device.is_empty() {
        return Ok(None);
    }
    if device.is_empty() {
        return Err(Error::bad_parameter(r#"missing required option: "device""#));
    }
    let mut parsed = MountOptions {
        device,
        kind,
        flags: MountFlags::empty(),
        data: String::new(),
        bind: false,
        recursive: false,
    };
    let mut data = Vec::new();
    for option in o.split(',').filter(|option| !option.is_empty()) {
        match option {
            "bind" => parsed.bind = true,
            "rbind" => (parsed.bind, parsed.recursive) = (true, true),
            "defaults" | "rw" | "suid" | "dev" | "exec" | "async" | "auto" | "noauto"
            | "nofail" | "_netdev" => {}
            _ => match flag(option) {
                Some(flag) => parsed.flags |= flag,
                None => data.push(check_data(option)?),
            },
        }
    }
    parsed.data = data.join(",");
    if parsed.kind.is_empty() && !parsed.bind {
        return Err(Error::bad_parameter(r#"missing required option: "type""#));
    }
    Ok(Some(parsed))
}

fn flag(option: &str) -> Option<MountFlags> {
    Some(match option {
        "ro" => MountFlags::RDONLY,
        "nosuid" => MountFlags::NOSUID,
        "nodev" => MountFlags::NODEV,
        "noexec" => MountFlags::NOEXEC,
        "noatime" => MountFlags::NOATIME,
        "nodiratime" => MountFlags::NODIRATIME,
        "relatime" => MountFlags::RELATIME,
        "strictatime" => MountFlags::STRICTATIME,
        _ => return None,
    })
}

/// The kernel wants addresses, and PID 1 resolves no names.
fn check_data(option: &str) -> Result<&str> {
    match option.strip_prefix("addr=") {
        Some(address) if address.parse::<IpAddr>().is_err() => Err(Error::bad_parameter(format!(
            "invalid volume option {option:?}: an IP address is needed, names are not resolved"
        ))),
        _ => Ok(option),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<MountOptions>> {
        let options = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        parse(&options.collect())
    }

    #[test]
    fn flags_and_data_are_told_apart() {
        let options = read(&[
            ("type", "tmpfs"),
            ("device", "tmpfs"),
            ("o", "size=1m,nodev,ro,uid=5"),
        ]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.data, "size=1m,uid=5");
        assert_eq!(options.flags, MountFlags::NODEV | MountFlags::RDONLY);
        assert!(!options.bind);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(read(&[]).unwrap(), None);
        for bad in [
            &[("type", "tmpfs")][..],
            &[("tpye", "tmpfs")],
            &[("device", "/dev/sda1")],
            &[
                ("type", "nfs"),
                ("device", ":/x"),
                ("o", "addr=files.example"),
            ],
            &[("size", "1g")],
        ] {
            assert_eq!(read(bad).unwrap_err().status, 400, "{bad:?}");
        }
    }
}
