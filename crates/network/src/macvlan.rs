//! The macvlan and ipvlan drivers: a link of the container's own on a parent link of the host.

use std::os::fd::BorrowedFd;

use engine_api::{Error, Result};
use sys::netlink::{LinkChange, LinkKind, MacAddress, NewLink, Rtnetlink, in_netns};

use super::record::{EndpointRecord, NetworkRecord};
use super::{Driver, server};

/// Marks parents (VLAN sub-interfaces, dummies) that this engine made. The network's id follows.
const ALIAS_PREFIX: &str = "system-docker ";
/// Longest name of a link, in bytes (IFNAMSIZ without its NUL, netdevice(7)).
const NAME_MAX: usize = 15;
/// Largest VLAN number.
const VLAN_MAX: u16 = 4094;

/// The parent's name: the option, or a dummy of the network's own (containers then see only each other).
pub(super) fn parent_name(network: &NetworkRecord) -> String {
    let dummy = || format!("dm-{}", objects::ids::short(&network.id));
    network.driver_options().parent.unwrap_or_else(dummy)
}

/// Makes sure that the parent is there: `eth0.10` is created as VLAN 10 of `eth0`, no parent means a dummy link.
pub(super) fn ensure(network: &NetworkRecord) -> Result<()> {
    let parent = parent_name(network);
    let mut netlink = Rtnetlink::open().map_err(server)?;
    if netlink.link(&parent).map_err(server)?.is_some() {
        return Ok(());
    }
    let kind = match parent.rsplit_once('.') {
        _ if network.driver_options().parent.is_none() => LinkKind::Dummy,
        Some((base, id)) => {
            let id: u16 = id
                .parse()
                .ok()
                .filter(|id| (1..=VLAN_MAX).contains(id))
                .ok_or_else(|| {
                    Error::bad_parameter(format!(
                        "parent interface {parent} names no VLAN between 1 and {VLAN_MAX}"
                    ))
                })?;
            let base_link = netlink.link(base).map_err(server)?;
            let base_link = base_link.ok_or_else(|| {
                Error::bad_parameter(format!("parent interface {base} was not found on the host"))
            })?;
            LinkKind::Vlan {
                parent: base_link.index,
                id,
            }
        }
        None => {
            return Err(Error::bad_parameter(format!(
                "parent interface {parent} was not found on the host"
            )));
        }
    };
    netlink
        .create_link(&NewLink {
            up: true,
            ..NewLink::new(&parent, kind)
        })
        .map_err(server)?;
    if let Some(link) = netlink.link(&parent).map_err(server)? {
        let alias = format!("{ALIAS_PREFIX}{}", network.id);
        let change = LinkChange {
            alias: Some(&alias),
            up: Some(true),
            ..LinkChange::default()
        };
        netlink
            .change_link(link.index, &parent, &change)
            .map_err(server)?;
    }
    Ok(())
}

/// Deletes the parent if it was made for this network.
pub(super) fn remove(network: &NetworkRecord) -> Result<()> {
    let parent = parent_name(network);
    let mut netlink = Rtnetlink::open().map_err(server)?;
    match netlink.link(&parent).map_err(server)? {
        Some(link) if link.alias == Some(format!("{ALIAS_PREFIX}{}", network.id)) => {
            netlink.delete_link(&parent).map_err(server)
        }
        _ => Ok(()),
    }
}

/// Creates the endpoint's link in `netns`.
pub(super) fn connect(
    network: &NetworkRecord,
    endpoint: &EndpointRecord,
    netns: BorrowedFd<'_>,
) -> Result<()> {
    let options = network.driver_options();
    let parent = parent_name(network);
    let mut netlink = Rtnetlink::open().map_err(server)?;
    let link = netlink.link(&parent).map_err(server)?;
    let index = link
        .ok_or_else(|| {
            Error::server(format!(
                "parent interface {parent} of network {} is missing",
                network.name
            ))
        })?
        .index;
    let kind = if network.driver() == Driver::Ipvlan {
        LinkKind::Ipvlan {
            parent: index,
            mode: options.ipvlan_mode,
            flags: options.ipvlan_flag,
        }
    } else {
        LinkKind::Macvlan {
            parent: index,
            mode: options.macvlan_mode,
        }
    };
    let mac: Option<MacAddress> = endpoint.mac.parse().ok();
    // The kernel refuses a name that a link of the host has, though the new one is to be in another namespace: eth0.
    let passing: String = endpoint.endpoint_id.chars().take(NAME_MAX).collect();
    let child = NewLink {
        mac,
        mtu: options.mtu,
        netns: Some(netns),
        ..NewLink::new(&passing, kind)
    };
    netlink.create_link(&child).map_err(server)?;
    let renamed = in_netns(netns, || rename(&passing, &endpoint.interface));
    renamed.map_err(server)?.map_err(server)
}

/// Gives a link of this namespace, which is not up yet, its name. One that cannot have it goes: nothing knows the old name.
fn rename(from: &str, to: &str) -> sys::netlink::Result<()> {
    let mut netlink = Rtnetlink::open()?;
    let Some(link) = netlink.link(from)? else {
        return Err(sys::netlink::Error {
            what: format!("rename {from} to {to}"),
            message: None,
            source: std::io::ErrorKind::NotFound.into(),
        });
    };
    let change = LinkChange {
        name: Some(to),
        ..LinkChange::default()
    };
    let renamed = netlink.change_link(link.index, from, &change);
    if renamed.is_err() {
        // The first error says more than a second one.
        let _ = netlink.delete_link(from);
    }
    renamed
}
