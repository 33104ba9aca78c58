//! The network of the machine: links, addresses and routes from `rancher.network`.
//!
//! [`Plan::new`] says what each link becomes and is pure; [`apply`] asks the kernel for it by rtnetlink, and may be
//! called again at any time: what is there already stays, what the plan does not have any more goes. Links with DHCP are
//! left to dhcpcd, whose configuration [`dhcp`] writes; [`lease`] reads what it says of leases, and [`resolver`] makes
//! resolv.conf of that and of the configuration. [`firewall`] knows what commands of the configuration did to the firewall.
//!
//! A bad entry costs itself only, and a machine whose entries fit none of its links asks for addresses on all of them: it
//! must stay reachable.
//!
//! **Belongs here:** from the keys of `rancher.network` to what the kernel and dhcpcd are told.
//!
//! **Not here:** this crate does not run programs, resolve names or touch the links of containers.
//!
//! **May import:** `config`, `sys` of our crates.

pub mod apply;
mod clean;
pub mod dhcp;
pub mod firewall;
pub mod lease;
pub mod matching;
mod plan;
mod reachable;
pub mod resolver;
mod values;
mod wifi;
pub mod wireguard;

pub use clean::clean;
pub use plan::{LinkPlan, Plan, Role, StaticRoute, Vlan};
