//! The bridge driver's devices: the bridge itself and the veth pair of an endpoint.

use std::os::fd::BorrowedFd;
use std::path::Path;

use engine_api::{Error, Result};
use sys::netlink::{
    BridgeOptions, Cidr, Link, LinkChange, LinkKind, MacAddress, NewLink, Peer, Rtnetlink,
};

use super::record::{EndpointRecord, NetworkRecord};
use super::server;

/// Marks devices that this engine made: only those are deleted. The network's id follows.
const ALIAS_PREFIX: &str = "system-docker ";

/// Creates the bridge when it is missing, gives it its addresses and brings it up.
pub(super) fn ensure(network: &NetworkRecord) -> Result<()> {
    let device = network.device();
    let options = network.driver_options();
    let mut netlink = Rtnetlink::open().map_err(server)?;
    let link = match netlink.link(&device).map_err(server)? {
        Some(link) if link.kind == "bridge" => link,
        Some(_) => {
            return Err(Error::forbidden(format!(
                "cannot use {device} as bridge: a device of that name is not a bridge"
            )));
        }
        None => create(&mut netlink, network, &device)?,
    };
    let ipv6 = network.enable_ipv6;
    // Loopback clients of published ports leave by the bridge; see `firewall`.
    write_sysctl(&format!("ipv4/conf/{device}/route_localnet"), "1");
    write_sysctl("ipv4/ip_forward", "1");
    if ipv6 {
        enable_ipv6_forwarding();
        write_sysctl(&format!("ipv6/conf/{device}/disable_ipv6"), "0");
    }
    write_sysctl(&format!("ipv6/conf/{device}/accept_ra"), "0");
    let addresses: Vec<Cidr> = network
        .subnets()
        .into_iter()
        .filter(|subnet| subnet.network.is_ipv6() || !options.inhibit_ipv4)
        .filter_map(|subnet| Cidr::new(subnet.gateway?, subnet.network.prefix()))
        .collect();
    for address in &addresses {
        netlink
            .add_address(link.index, &device, *address)
            .map_err(server)?;
    }
    if is_ours(&link, network) {
        netlink
            .flush_addresses(link.index, &device, &addresses)
            .map_err(server)?;
    }
    let change = LinkChange {
        up: Some(true),
        mtu: options.mtu,
        ..LinkChange::default()
    };
    netlink
        .change_link(link.index, &device, &change)
        .map_err(server)
}

fn create(netlink: &mut Rtnetlink, network: &NetworkRecord, device: &str) -> Result<Link> {
    let mac = random_mac()?;
    let bridge = NewLink {
        mac: Some(mac),
        ..NewLink::new(device, LinkKind::Bridge(BridgeOptions::default()))
    };
    netlink.create_link(&bridge).map_err(server)?;
    let link = netlink.link(device).map_err(server)?;
    let link = link.ok_or_else(|| Error::server(format!("bridge {device} vanished")))?;
    let alias = format!("{ALIAS_PREFIX}{}", network.id);
    netlink
        .change_link(
            link.index,
            device,
            &LinkChange {
                alias: Some(&alias),
                ..LinkChange::default()
            },
        )
        .map_err(server)?;
    Ok(Link {
        alias: Some(alias),
        ..link
    })
}

/// Deletes the bridge if this engine made it.
pub(super) fn remove(network: &NetworkRecord) -> Result<()> {
    let device = network.device();
    let mut netlink = Rtnetlink::open().map_err(server)?;
    match netlink.link(&device).map_err(server)? {
        Some(link) if is_ours(&link, network) => netlink.delete_link(&device).map_err(server),
        _ => Ok(()),
    }
}

fn is_ours(link: &Link, network: &NetworkRecord) -> bool {
    link.alias
        .as_deref()
        .and_then(|alias| alias.strip_prefix(ALIAS_PREFIX))
        == Some(&network.id)
}

/// Creates the endpoint's veth pair: one end on the bridge, the other in `netns` under its final name.
pub(super) fn connect(
    network: &NetworkRecord,
    endpoint: &EndpointRecord,
    netns: BorrowedFd<'_>,
) -> Result<()> {
    let device = network.device();
    let options = network.driver_options();
    let host_link = endpoint
        .host_link
        .as_deref()
        .ok_or_else(|| Error::server("endpoint has no link on the host"))?;
    let mut netlink = Rtnetlink::open().map_err(server)?;
    let bridge = netlink.link(&device).map_err(server)?;
    let bridge = bridge.ok_or_else(|| {
        Error::server(format!(
            "bridge {device} of network {} is missing",
            network.name
        ))
    })?;
    let mac: Option<MacAddress> = endpoint.mac.parse().ok();
    let peer = Peer {
        name: &endpoint.interface,
        mac,
        mtu: options.mtu,
        netns: Some(netns),
    };
    let veth = NewLink {
        up: true,
        mtu: options.mtu,
        master: Some(bridge.index),
        ..NewLink::new(host_link, LinkKind::Veth(peer))
    };
    netlink.create_link(&veth).map_err(server)?;
    if options.icc {
        return Ok(());
    }
    set_port(network, endpoint, false)
}

/// Sets the flags of the endpoint's port on the bridge. A container that publishes ports needs `hairpin` to reach its
/// own through the host where br_netfilter is on: the frame then goes back out of the port it came from.
pub(super) fn set_port(
    network: &NetworkRecord,
    endpoint: &EndpointRecord,
    hairpin: bool,
) -> Result<()> {
    let Some(host_link) = &endpoint.host_link else {
        return Ok(());
    };
    let isolated = !network.driver_options().icc;
    let mut netlink = Rtnetlink::open().map_err(server)?;
    match netlink.link(host_link).map_err(server)? {
        Some(port) => netlink
            .set_bridge_port(port.index, host_link, isolated, hairpin)
            .map_err(server),
        None => Err(Error::server(format!("link {host_link} is missing"))),
    }
}

/// A locally administered MAC address under Docker's prefix.
pub(super) fn random_mac() -> Result<MacAddress> {
    let mut octets = [0x02, 0x42, 0, 0, 0, 0];
    objects::ids::random_bytes(&mut octets[2..])
        .map_err(Error::at("read", Path::new("/dev/urandom")))?;
    Ok(MacAddress(octets))
}

/// Routers ignore router advertisements unless told otherwise: links that take them now shall go on.
fn enable_ipv6_forwarding() {
    let conf = "/proc/sys/net/ipv6/conf";
    for entry in std::fs::read_dir(conf).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let key = format!("ipv6/conf/{}/accept_ra", name.to_string_lossy());
        if std::fs::read_to_string(format!("/proc/sys/net/{key}"))
            .is_ok_and(|value| value.trim() == "1")
        {
            write_sysctl(&key, "2");
        }
    }
    write_sysctl("ipv6/conf/default/forwarding", "1");
    write_sysctl("ipv6/conf/all/forwarding", "1");
}

/// Sets `net.<key>` unless it has the value already. A kernel without it (IPv6 off) or a read-only /proc is not an error:
/// what depends on it shows by itself.
pub(super) fn write_sysctl(key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    if std::fs::read_to_string(&path).is_ok_and(|current| current.trim() != value) {
        let _ = std::fs::write(&path, value);
    }
}
