//! Netlink without a library and without programs: rtnetlink (links, addresses, routes, rules), nf_tables and WireGuard.
//!
//! The host's root file system has no `ip`, `nft` or `iptables`, and PID 1 cannot carry the 0.8 MB of a
//! general netlink crate, so the few messages the engine needs are encoded here over raw `AF_NETLINK` sockets.
//! Every exchange is bounded by [`REPLY_TIMEOUT`]; errors name the object and carry the kernel's extended
//! acknowledgement text. Sources: netlink(7), rtnetlink(7), `linux/rtnetlink.h`, `linux/if_link.h`,
//! `linux/netfilter/nf_tables.h`, `linux/genetlink.h`, `linux/wireguard.h`.
//!
//! This module does not decide what a network looks like, keeps no state and resolves no names.

mod address;
mod cidr;
mod error;
mod generic;
mod link;
mod message;
mod netns;
pub mod nftables;
mod route;
mod rtnetlink;
mod rule;
mod socket;
pub mod wireguard;

pub use address::Address;
pub use cidr::{Cidr, CidrParseError};
pub use error::{Error, Result};
pub use link::{
    BondOptions, BridgeOptions, Link, LinkChange, LinkKind, MacAddress, MacvlanMode, NewLink, Peer,
};
pub use netns::{current_netns, in_netns, netns_of, new_netns};
pub use route::{Route, TABLE_MAIN};
pub use rtnetlink::Rtnetlink;
pub use rule::Rule;
pub use socket::REPLY_TIMEOUT;
