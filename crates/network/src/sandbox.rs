//! A container's network namespace: what it holds, and configuring it from within.

use std::io;
use std::os::fd::BorrowedFd;

use engine_api::{Error, Result};
use sys::netlink::{LinkChange, Route, Rtnetlink, in_netns};

use super::gateway::Gateway;
use super::record::{EndpointRecord, SandboxRecord};
use super::{bridge, dns, server};

/// Index of the loopback link in every namespace.
const LOOPBACK: u32 = 1;

/// A running container's networking: its record and what is served for it.
#[derive(Debug, Default)]
pub(super) struct Sandbox {
    pub(super) record: SandboxRecord,
    /// The network child serves its DNS.
    pub(super) dns: bool,
}

/// What to do inside the namespace.
#[derive(Debug, Default)]
pub(super) struct Setup<'a> {
    /// Links that are there already, to be addressed and brought up.
    pub(super) endpoints: Vec<&'a EndpointRecord>,
    /// Default routes.
    pub(super) gateways: Vec<Gateway<'a>>,
    /// Open the embedded DNS server's sockets.
    pub(super) dns: bool,
}

/// Configures the namespace in a thread that joins it: loopback, addresses, routes, DNS sockets.
pub(super) fn configure(netns: BorrowedFd<'_>, setup: &Setup<'_>) -> Result<Option<dns::Sockets>> {
    let done = in_netns(
        netns,
        || -> sys::netlink::Result<io::Result<Option<dns::Sockets>>> {
            let mut netlink = Rtnetlink::open()?;
            netlink.change_link(
                LOOPBACK,
                "lo",
                &LinkChange {
                    up: Some(true),
                    ..LinkChange::default()
                },
            )?;
            for endpoint in &setup.endpoints {
                address(&mut netlink, endpoint)?;
            }
            for gateway in &setup.gateways {
                if let Some(link) = netlink.link(gateway.interface)? {
                    let mut route = Route::default_via(gateway.address, link.index);
                    // Layer 3 links have no neighbours: the route is the link itself.
                    route.gateway = route.gateway.filter(|address| !address.is_unspecified());
                    netlink.add_route(&route)?;
                }
            }
            Ok(if setup.dns {
                dns::Sockets::open().map(Some)
            } else {
                Ok(None)
            })
        },
    );
    let sockets = done.map_err(server)?.map_err(server)?;
    sockets.map_err(|e| Error::server(format!("open embedded DNS sockets: {e}")))
}

fn address(netlink: &mut Rtnetlink, endpoint: &EndpointRecord) -> sys::netlink::Result<()> {
    let name = &endpoint.interface;
    if name.is_empty() {
        // The network `none`: an endpoint without a link.
        return Ok(());
    }
    let Some(link) = netlink.link(name)? else {
        return Ok(());
    };
    let addresses = endpoint.link_addresses();
    let ipv6_off = if addresses.iter().any(|cidr| cidr.is_ipv6()) {
        "0"
    } else {
        "1"
    };
    bridge::write_sysctl(&format!("ipv6/conf/{name}/disable_ipv6"), ipv6_off);
    for cidr in addresses {
        netlink.add_address(link.index, name, cidr)?;
    }
    netlink.change_link(
        link.index,
        name,
        &LinkChange {
            up: Some(true),
            ..LinkChange::default()
        },
    )
}

/// Removes a link from within the namespace (macvlan, ipvlan); a missing one is fine.
pub(super) fn delete_link(netns: BorrowedFd<'_>, name: &str) -> Result<()> {
    let deleted = in_netns(netns, || Rtnetlink::open()?.delete_link(name)).map_err(server)?;
    match deleted {
        Err(error) if !error.is_absent() => Err(server(error)),
        _ => Ok(()),
    }
}
