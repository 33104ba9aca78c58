//! Device nodes and the rules of the device controller.

use std::collections::BTreeMap;
use std::path::Path;

use engine_api::{DeviceMapping, Error, HostConfig, Result};
use runtime::oci::{Device, DeviceCgroup};

/// The nodes that a request's paths mean, by path. They were looked for before: where they are may not answer.
pub(crate) type Gathered = BTreeMap<String, Vec<Device>>;

/// Nodes and rules of one container.
#[derive(Debug)]
pub(super) struct Devices {
    pub(super) nodes: Vec<Device>,
    pub(super) rules: Vec<DeviceCgroup>,
}

impl Devices {
    /// Reads `Privileged`, `Devices` and `DeviceCgroupRules`.
    ///
    /// # Errors
    /// 400 for devices that are not there and rules that make no sense.
    pub(super) fn read(host: &HostConfig, gathered: &Gathered) -> Result<Self> {
        if host.privileged {
            let nodes = runtime::nodes_of_dev().map_err(Error::bad_parameter)?;
            let nodes = nodes.into_iter().map(|node| placed(node, "/dev")).collect();
            return Ok(Self {
                nodes,
                rules: vec![DeviceCgroup {
                    allow: true,
                    access: "rwm".to_owned(),
                    ..DeviceCgroup::default()
                }],
            });
        }
        let mut devices = Self {
            nodes: Vec::new(),
            rules: default_rules(),
        };
        for mapping in &host.devices {
            devices.add(mapping, gathered)?;
        }
        for rule in host.device_cgroup_rules.iter().flatten() {
            devices.rules.push(parse_rule(rule)?);
        }
        Ok(devices)
    }

    fn add(&mut self, mapping: &DeviceMapping, gathered: &Gathered) -> Result<()> {
        let inside = if mapping.path_in_container.is_empty() {
            &mapping.path_on_host
        } else {
            &mapping.path_in_container
        };
        let access = if mapping.cgroup_permissions.is_empty() {
            "rwm"
        } else {
            &mapping.cgroup_permissions
        };
        if !access.chars().all(|letter| "rwm".contains(letter)) {
            return Err(Error::bad_parameter(format!(
                "invalid device mode: {access}"
            )));
        }
        let nodes = gathered
            .get(&mapping.path_on_host)
            .ok_or_else(|| refusal(&mapping.path_on_host, "not a device node"))?;
        let nodes = nodes.iter().map(|node| placed(node.clone(), inside));
        for node in nodes {
            self.rules.push(DeviceCgroup {
                allow: true,
                kind: node.kind.clone(),
                major: Some(node.major.into()),
                minor: Some(node.minor.into()),
                access: access.to_owned(),
            });
            self.nodes.push(node);
        }
        Ok(())
    }
}

/// The node with its path in the container.
fn placed(mut node: Device, inside: &str) -> Device {
    if node.path.is_empty() {
        inside.clone_into(&mut node.path);
    } else {
        let path = Path::new(inside).join(&node.path);
        node.path = path.to_string_lossy().into_owned();
    }
    node
}

/// Docker's words for a device that a request names.
pub(crate) fn refusal(path: &str, cause: &str) -> Error {
    Error::bad_parameter(format!(
        "error gathering device information while adding custom device \"{path}\": {cause}"
    ))
}

/// Docker's rules: deny all; any node may be made; null, zero, full, tty, random, urandom, ptmx, tun and pts used. Not
/// Docker's is that the machine's console (5:1) stays closed: a container with a terminal has that as its /dev/console,
/// and one that makes the node itself would write and read where the machine's owner sits.
fn default_rules() -> Vec<DeviceCgroup> {
    let rule = |allow, kind: &str, major, minor, access: &str| DeviceCgroup {
        allow,
        kind: kind.to_owned(),
        major,
        minor,
        access: access.to_owned(),
    };
    let mut rules = vec![
        rule(false, "a", None, None, "rwm"),
        rule(true, "c", None, None, "m"),
        rule(true, "b", None, None, "m"),
    ];
    for (major, minor) in [
        (1, 3),
        (1, 5),
        (1, 7),
        (1, 8),
        (1, 9),
        (5, 0),
        (5, 2),
        (10, 200),
    ] {
        rules.push(rule(true, "c", Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(true, "c", Some(136), None, "rwm"));
    rules
}

/// Reads `c 1:3 rwm`, `b *:* r` or `a *:* rwm`.
fn parse_rule(text: &str) -> Result<DeviceCgroup> {
    let invalid = || Error::bad_parameter(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split_ascii_whitespace();
    let (Some(kind @ ("a" | "b" | "c")), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    if access.is_empty() || !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(invalid());
    }
    let number = |word: &str| match word {
        "*" => Ok(None),
        digits => digits
            .parse::<u32>()
            .map(|number| Some(i64::from(number)))
            .map_err(|_| invalid()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    Ok(DeviceCgroup {
        allow: true,
        kind: kind.to_owned(),
        major: number(major)?,
        minor: number(minor)?,
        access: access.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = parse_rule("c 189:* rmw").unwrap();
        assert_eq!(
            (rule.kind.as_str(), rule.major, rule.minor),
            ("c", Some(189), None)
        );
        for bad in [
            "",
            "c 1:3",
            "x 1:3 r",
            "c 1 r",
            "c 1:3 q",
            "c -1:3 r",
            "c 1:3 r r",
        ] {
            assert!(parse_rule(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_device_gets_its_node_and_its_rule() {
        let host = HostConfig {
            devices: vec![DeviceMapping {
                path_on_host: "/dev/null".into(),
                path_in_container: "/dev/x".into(),
                ..Default::default()
            }],
            ..HostConfig::default()
        };
        let null = runtime::node_in_dev("/dev/null").unwrap();
        let gathered = BTreeMap::from([("/dev/null".to_owned(), vec![null])]);
        let devices = Devices::read(&host, &gathered).unwrap();
        assert_eq!(
            (
                devices.nodes[0].path.as_str(),
                devices.nodes[0].major,
                devices.nodes[0].minor
            ),
            ("/dev/x", 1, 3)
        );
        assert_eq!(devices.rules.last().unwrap().access, "rwm");
        assert!(!devices.rules[0].allow);
    }

    /// The list of Docker 26.1.5, as its cgroup has it, except the console.
    #[test]
    fn the_default_devices_are_dockers_without_the_console() {
        let rules = default_rules();
        let shown: Vec<String> = rules
            .iter()
            .filter(|rule| rule.allow)
            .map(|rule| {
                let number = |number: Option<i64>| number.map_or("*".to_owned(), |n| n.to_string());
                let (major, minor) = (number(rule.major), number(rule.minor));
                format!("{} {major}:{minor} {}", rule.kind, rule.access)
            })
            .collect();
        assert_eq!(
            shown.join(", "),
            "c *:* m, b *:* m, c 1:3 rwm, c 1:5 rwm, c 1:7 rwm, c 1:8 rwm, c 1:9 rwm, c 5:0 rwm, \
             c 5:2 rwm, c 10:200 rwm, c 136:* rwm"
        );
        assert!(!rules[0].allow && rules[0].kind == "a");
    }

    #[test]
    fn a_device_that_was_not_found_is_named() {
        let host = HostConfig {
            devices: vec![DeviceMapping {
                path_on_host: "/dev/nope".into(),
                ..Default::default()
            }],
            ..HostConfig::default()
        };
        let error = Devices::read(&host, &Gathered::new()).unwrap_err();
        assert!(
            error.message.contains("\"/dev/nope\": not a device node"),
            "{error}"
        );
    }

    #[test]
    fn nodes_below_a_directory_keep_their_names() {
        let node = |path: &str| Device {
            path: path.to_owned(),
            ..Device::default()
        };
        assert_eq!(placed(node(""), "/dev/x").path, "/dev/x");
        assert_eq!(placed(node("a/b"), "/dev/x").path, "/dev/x/a/b");
    }
}
