//! Driver options (`docker network create -o`), parsed and checked once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine_api::{Error, Result};
use sys::netlink::MacvlanMode;

use super::Driver;

pub(super) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub(super) const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";
pub(super) const ICC: &str = "com.docker.network.bridge.enable_icc";
pub(super) const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub(super) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
pub(super) const MTU: &str = "com.docker.network.driver.mtu";
const INTERFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";
const INHIBIT_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
/// Longest prefix of interface names, so that a number fits into `IFNAMSIZ`.
const PREFIX_MAX: usize = 12;

/// What the options say; absent ones have Docker's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DriverOptions {
    pub(super) bridge_name: Option<String>,
    /// Containers of the network may talk to each other.
    pub(super) icc: bool,
    pub(super) masquerade: bool,
    pub(super) host_binding: Option<IpAddr>,
    pub(super) mtu: Option<u32>,
    pub(super) interface_prefix: String,
    /// The bridge gets no IPv4 address.
    pub(super) inhibit_ipv4: bool,
    /// Parent link of macvlan and ipvlan, `eth0` or `eth0.10`.
    pub(super) parent: Option<String>,
    pub(super) macvlan_mode: MacvlanMode,
    pub(super) ipvlan_mode: u16,
    pub(super) ipvlan_flag: u16,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            bridge_name: None,
            icc: true,
            masquerade: true,
            host_binding: None,
            mtu: None,
            interface_prefix: "eth".into(),
            inhibit_ipv4: false,
            parent: None,
            macvlan_mode: MacvlanMode::Bridge,
            ipvlan_mode: 0,
            ipvlan_flag: 0,
        }
    }
}

fn truth(key: &str, value: &str) -> Result<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::bad_parameter(format!(
            "invalid value for driver option {key}: {value:?} is not a truth value"
        ))),
    }
}

impl DriverOptions {
    /// Reads the options; unknown ones are kept by the network but mean nothing, as in Docker.
    pub(super) fn parse(driver: Driver, options: &BTreeMap<String, String>) -> Result<Self> {
        let mut parsed = Self::default();
        for (key, value) in options {
            parsed.set(driver, key, value)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, driver: Driver, key: &str, value: &str) -> Result<()> {
        let invalid = |reason: &str| {
            Error::bad_parameter(format!("invalid value for driver option {key}: {reason}"))
        };
        match (driver, key) {
            (Driver::Bridge, BRIDGE_NAME) => {
                self.bridge_name = Some(value.to_owned()).filter(|name| !name.is_empty())
            }
            (Driver::Bridge, ICC) => self.icc = truth(key, value)?,
            (Driver::Bridge, MASQUERADE) => self.masquerade = truth(key, value)?,
            (Driver::Bridge, INHIBIT_IPV4) => self.inhibit_ipv4 = truth(key, value)?,
            (Driver::Bridge, HOST_BINDING) => {
                self.host_binding = Some(value.parse().map_err(|_| invalid("not an IP address"))?);
            }
            (_, MTU | "mtu") => {
                let mtu = value
                    .parse()
                    .map_err(|_| invalid("not a number of bytes"))?;
                self.mtu = Some(mtu).filter(|mtu| *mtu != 0);
            }
            (_, INTERFACE_PREFIX) => {
                let fits =
                    (1..=PREFIX_MAX).contains(&value.len()) && !value.contains(['/', ':', ' ']);
                self.interface_prefix = fits
                    .then(|| value.to_owned())
                    .ok_or_else(|| invalid("not an interface name"))?;
            }
            (Driver::Macvlan | Driver::Ipvlan, "parent") => {
                self.parent = Some(value.to_owned()).filter(|parent| !parent.is_empty());
            }
            (Driver::Macvlan, "macvlan_mode") => self.macvlan_mode = macvlan_mode(value)?,
            (Driver::Ipvlan, "ipvlan_mode") => self.ipvlan_mode = ipvlan_mode(value)?,
            (Driver::Ipvlan, "ipvlan_flag") => self.ipvlan_flag = ipvlan_flag(value)?,
            _ => {}
        }
        Ok(())
    }
}

fn macvlan_mode(value: &str) -> Result<MacvlanMode> {
    match value {
        "" | "bridge" => Ok(MacvlanMode::Bridge),
        "private" => Ok(MacvlanMode::Private),
        "passthru" => Ok(MacvlanMode::Passthru),
        "vepa" => Ok(MacvlanMode::Vepa),
        _ => Err(Error::bad_parameter(format!(
            "requested macvlan mode '{value}' is not valid, 'bridge' mode is the macvlan driver default"
        ))),
    }
}

fn ipvlan_mode(value: &str) -> Result<u16> {
    match value {
        "" | "l2" => Ok(0),
        "l3" => Ok(1),
        "l3s" => Ok(2),
        _ => Err(Error::bad_parameter(format!(
            "requested ipvlan mode '{value}' is not valid, 'l2' mode is the ipvlan driver default"
        ))),
    }
}

fn ipvlan_flag(value: &str) -> Result<u16> {
    match value {
        "" | "bridge" => Ok(0),
        "private" => Ok(1),
        "vepa" => Ok(2),
        _ => Err(Error::bad_parameter(format!(
            "requested ipvlan flag '{value}' is not valid, 'bridge' flag is the ipvlan driver default"
        ))),
    }
}
