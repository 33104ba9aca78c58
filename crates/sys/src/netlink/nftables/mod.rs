//! nf_tables: tables, base chains and rules, applied in one atomic batch (`linux/netfilter/nf_tables.h`).
//!
//! A [`Batch`] is a transaction: the kernel takes all of it or nothing. Only tables that the caller names are
//! touched, so that the tables of Docker's iptables-nft (`filter`, `nat`) next to ours stay as they are.

mod batch;
mod expression;
mod rule;
mod transport;

pub use batch::{Batch, tables};
pub use rule::{ConntrackState, Rule};
pub use transport::Transport;

/// The address family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 and IPv6 together.
    Inet = 1,
    /// IPv4.
    Ipv4 = 2,
    /// IPv6.
    Ipv6 = 10,
}

impl Family {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Inet, Self::Ipv4, Self::Ipv6]
            .into_iter()
            .find(|family| *family as u8 == number)
    }
}

/// A place in the packet's way (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before the routing decision, for packets from a link.
    Prerouting = 0,
    /// For packets to this machine.
    Input = 1,
    /// For packets that pass through.
    Forward = 2,
    /// For packets of this machine.
    Output = 3,
    /// When the packet is about to leave.
    Postrouting = 4,
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    /// Accept and drop.
    Filter,
    /// Translate addresses; sees only the first packet of a connection.
    Nat,
}

/// A base chain with the policy "accept".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Its name, unique in its table.
    pub name: &'static str,
    /// What it may do.
    pub kind: ChainType,
    /// Where it is called.
    pub hook: Hook,
    /// Its turn at the hook: lower is earlier (`NF_IP_PRI_*`).
    pub priority: i32,
}

/// Before connection tracking (`NF_IP_PRI_RAW`).
pub const PRIORITY_RAW: i32 = -300;
/// Destination translation (`NF_IP_PRI_NAT_DST`).
pub const PRIORITY_DSTNAT: i32 = -100;
/// Ordinary filtering (`NF_IP_PRI_FILTER`).
pub const PRIORITY_FILTER: i32 = 0;
/// Source translation (`NF_IP_PRI_NAT_SRC`).
pub const PRIORITY_SRCNAT: i32 = 100;
