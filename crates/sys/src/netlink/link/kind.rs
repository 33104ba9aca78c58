//! Kinds of links that can be created, each with its options.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::bond::BondOptions;
use super::{IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_NET_NS_FD, MacAddress, info};
use crate::netlink::message::Message;

const VETH_INFO_PEER: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;

/// Options of a bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BridgeOptions {
    /// Multicast snooping; `None` keeps the kernel's default (on).
    pub multicast_snooping: Option<bool>,
}

/// How macvlan links of the same parent see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Not at all.
    Private = 1,
    /// Through the switch outside.
    Vepa = 2,
    /// Directly.
    Bridge = 4,
    /// The one macvlan link takes over its parent.
    Passthru = 8,
}

/// The other end of a veth pair.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Its name, in its own namespace.
    pub name: &'a str,
    /// Its hardware address; `None`: the kernel draws one.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes; `None`: the kernel's default.
    pub mtu: Option<u32>,
    /// The namespace it is born in; `None`: this one.
    pub netns: Option<BorrowedFd<'a>>,
}

/// What kind of link to create.
#[derive(Debug, Clone, Copy)]
pub enum LinkKind<'a> {
    /// A learning bridge.
    Bridge(BridgeOptions),
    /// A pair of virtual Ethernet ends.
    Veth(Peer<'a>),
    /// A link on `parent` that has its own MAC address.
    Macvlan {
        /// Index of the parent link.
        parent: u32,
        /// Visibility between siblings.
        mode: MacvlanMode,
    },
    /// A link that shares the MAC address of `parent`.
    Ipvlan {
        /// Index of the parent link.
        parent: u32,
        /// 0 = l2, 1 = l3, 2 = l3s.
        mode: u16,
        /// 0 = bridge, 1 = private, 2 = vepa.
        flags: u16,
    },
    /// An 802.1Q sub-interface.
    Vlan {
        /// Index of the parent link.
        parent: u32,
        /// VLAN number, 1 to 4094.
        id: u16,
    },
    /// Several links that act as one.
    Bond(&'a BondOptions),
    /// A link that drops what it is given.
    Dummy,
    /// A WireGuard device; its keys and peers are set afterwards ([`crate::netlink::wireguard`]).
    Wireguard,
}

impl LinkKind<'_> {
    /// The kernel's name of the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Veth(_) => "veth",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
            Self::Vlan { .. } => "vlan",
            Self::Bond(_) => "bond",
            Self::Dummy => "dummy",
            Self::Wireguard => "wireguard",
        }
    }

    pub(super) fn parent(&self) -> Option<u32> {
        match *self {
            Self::Macvlan { parent, .. }
            | Self::Ipvlan { parent, .. }
            | Self::Vlan { parent, .. } => Some(parent),
            Self::Bridge(_) | Self::Veth(_) | Self::Bond(_) | Self::Dummy | Self::Wireguard => None,
        }
    }

    pub(super) fn encode(&self, message: &mut Message) {
        match *self {
            Self::Bridge(options) => {
                if let Some(snooping) = options.multicast_snooping {
                    message.attr_u8(IFLA_BR_MCAST_SNOOPING, u8::from(snooping));
                }
            }
            Self::Veth(peer) => {
                message.nest(VETH_INFO_PEER, |m| {
                    m.append(&info(0, 0, 0)).attr_str(IFLA_IFNAME, peer.name);
                    if let Some(mac) = peer.mac {
                        m.attr(IFLA_ADDRESS, &mac.0);
                    }
                    if let Some(mtu) = peer.mtu {
                        m.attr_u32(IFLA_MTU, mtu);
                    }
                    if let Some(netns) = peer.netns {
                        m.attr_u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
                    }
                });
            }
            Self::Macvlan { mode, .. } => {
                message.attr_u32(IFLA_MACVLAN_MODE, mode as u32);
            }
            Self::Ipvlan { mode, flags, .. } => {
                message
                    .attr_u16(IFLA_IPVLAN_MODE, mode)
                    .attr_u16(IFLA_IPVLAN_FLAGS, flags);
            }
            Self::Vlan { id, .. } => {
                message.attr_u16(IFLA_VLAN_ID, id);
            }
            Self::Bond(options) => options.encode(message),
            Self::Dummy | Self::Wireguard => {}
        }
    }
}
