//! Network links: list, create (bridge, veth, macvlan, ipvlan, VLAN, dummy), change, delete (rtnetlink(7)).

mod bond;
mod kind;
mod mac;

use std::os::fd::{AsRawFd, BorrowedFd};

use super::error::{Error, Result};
use super::message::{Attributes, Message, Reply, text, u16_at, u32_at};
use super::rtnetlink::Rtnetlink;
use super::socket::{ACK, CREATE, DUMP, EXCLUSIVE, REQUEST};
pub use bond::BondOptions;
pub use kind::{BridgeOptions, LinkKind, MacvlanMode, Peer};
pub use mac::MacAddress;

/// Length of `struct ifinfomsg`.
const INFO_LEN: usize = 16;
/// Longest interface name in bytes (`IFNAMSIZ` less the NUL).
const NAME_MAX: usize = 15;

/// `linux/if.h`.
const IFF_LOWER_UP: u32 = 1 << 16;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index, unique in its namespace.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Hardware address, when it is an Ethernet one.
    pub mac: Option<MacAddress>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// The cable is in, or the other side is there (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// The kernel's kind: `bridge`, `veth`, `macvlan`; empty for hardware and loopback.
    pub kind: String,
    /// Index of the bridge (or bond) the link belongs to.
    pub master: Option<u32>,
    /// Index of the parent link, for VLAN and macvlan; for veth the peer's index in its namespace.
    pub parent: Option<u32>,
    /// Free text (`IFLA_IFALIAS`).
    pub alias: Option<String>,
}

/// A link to create.
#[derive(Debug, Clone, Copy)]
pub struct NewLink<'a> {
    /// Its name, at most 15 bytes.
    pub name: &'a str,
    /// Its kind.
    pub kind: LinkKind<'a>,
    /// Hardware address; `None`: the kernel draws one.
    pub mac: Option<MacAddress>,
    /// MTU in bytes; `None`: the kernel's default.
    pub mtu: Option<u32>,
    /// Index of the bridge to join.
    pub master: Option<u32>,
    /// The namespace it is born in; `None`: this one.
    pub netns: Option<BorrowedFd<'a>>,
    /// Bring it up at once.
    pub up: bool,
}

impl<'a> NewLink<'a> {
    /// A link with the kernel's defaults, down.
    pub fn new(name: &'a str, kind: LinkKind<'a>) -> Self {
        Self {
            name,
            kind,
            mac: None,
            mtu: None,
            master: None,
            netns: None,
            up: false,
        }
    }
}

/// Changes to an existing link; `None` leaves as is.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkChange<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// New name (the link must be down on old kernels).
    pub name: Option<&'a str>,
    /// Bridge to join by index; 0 leaves the bridge.
    pub master: Option<u32>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Hardware address.
    pub mac: Option<MacAddress>,
    /// Namespace to move to.
    pub netns: Option<BorrowedFd<'a>>,
    /// Free text, at most 255 bytes.
    pub alias: Option<&'a str>,
}

/// `struct ifinfomsg`.
fn info(index: u32, flags: u32, change: u32) -> [u8; INFO_LEN] {
    let mut header = [0; INFO_LEN];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn decode(reply: Reply<'_>) -> Option<Link> {
    if reply.kind != libc::RTM_NEWLINK {
        return None;
    }
    let mut link = Link {
        index: u32_at(reply.body, 4)?,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: u32_at(reply.body, 8)? & libc::IFF_UP.cast_unsigned() != 0,
        carrier: u32_at(reply.body, 8)? & IFF_LOWER_UP != 0,
        kind: String::new(),
        master: None,
        parent: None,
        alias: None,
    };
    for (kind, value) in Attributes::after(reply.body, INFO_LEN) {
        match kind {
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddress),
            IFLA_IFNAME => link.name = text(value),
            IFLA_MTU => link.mtu = u32_at(value, 0)?,
            IFLA_LINK => link.parent = u32_at(value, 0),
            IFLA_MASTER => link.master = u32_at(value, 0),
            IFLA_IFALIAS => link.alias = Some(text(value)),
            IFLA_LINKINFO => {
                let kind = Attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

fn check_name(what: &str, name: &str) -> Result<()> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name == "." || name == ".." || name.len() > NAME_MAX || name.contains(bad)
    {
        return Err(Error::invalid(
            what,
            "interface names have 1 to 15 bytes without '/', ':' and blanks",
        ));
    }
    Ok(())
}

impl Rtnetlink {
    /// All links of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer in time.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let mut message = Message::new(libc::RTM_GETLINK, REQUEST | DUMP, &info(0, 0, 0));
        self.socket().dump("list links", &mut message, decode)
    }

    /// The link called `name`, or `None`.
    ///
    /// # Errors
    /// As [`Self::links`]; a missing link is not an error.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        let what = format!("find link {name}");
        check_name(&what, name)?;
        let mut message = Message::new(libc::RTM_GETLINK, REQUEST | ACK, &info(0, 0, 0));
        message.attr_str(IFLA_IFNAME, name);
        match self.socket().dump(&what, &mut message, decode) {
            Ok(links) => Ok(links.into_iter().next()),
            Err(e) if e.errno() == Some(libc::ENODEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Creates a link. A veth's both ends appear or none.
    ///
    /// # Errors
    /// `EEXIST` when the name is taken, `EOPNOTSUPP` when the kernel lacks the kind.
    pub fn create_link(&mut self, link: &NewLink<'_>) -> Result<()> {
        let what = format!("create {} {}", link.kind.name(), link.name);
        check_name(&what, link.name)?;
        if let LinkKind::Veth(peer) = link.kind {
            check_name(&what, peer.name)?;
        }
        let up = if link.up {
            libc::IFF_UP.cast_unsigned()
        } else {
            0
        };
        let flags = REQUEST | ACK | CREATE | EXCLUSIVE;
        let mut message = Message::new(libc::RTM_NEWLINK, flags, &info(0, up, up));
        message.attr_str(IFLA_IFNAME, link.name);
        if let Some(mac) = link.mac {
            message.attr(IFLA_ADDRESS, &mac.0);
        }
        for (kind, value) in [
            (IFLA_MTU, link.mtu),
            (IFLA_MASTER, link.master),
            (IFLA_LINK, link.kind.parent()),
        ] {
            if let Some(value) = value {
                message.attr_u32(kind, value);
            }
        }
        if let Some(netns) = link.netns {
            message.attr_u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
        }
        message.nest(IFLA_LINKINFO, |m| {
            m.attr_str(IFLA_INFO_KIND, link.kind.name());
            m.nest(IFLA_INFO_DATA, |m| link.kind.encode(m));
        });
        self.socket().request(&what, &mut message)
    }

    /// Changes the link with `index`; `name` is for the error text.
    ///
    /// # Errors
    /// When the kernel refuses one of the changes.
    pub fn change_link(&mut self, index: u32, name: &str, change: &LinkChange<'_>) -> Result<()> {
        let what = format!("change link {name}");
        let up_bit = libc::IFF_UP.cast_unsigned();
        let flags = if change.up == Some(true) { up_bit } else { 0 };
        let mask = if change.up.is_some() { up_bit } else { 0 };
        let mut message = Message::new(libc::RTM_NEWLINK, REQUEST | ACK, &info(index, flags, mask));
        if let Some(new_name) = change.name {
            check_name(&what, new_name)?;
            message.attr_str(IFLA_IFNAME, new_name);
        }
        if let Some(mac) = change.mac {
            message.attr(IFLA_ADDRESS, &mac.0);
        }
        for (kind, value) in [(IFLA_MTU, change.mtu), (IFLA_MASTER, change.master)] {
            if let Some(value) = value {
                message.attr_u32(kind, value);
            }
        }
        if let Some(alias) = change.alias {
            message.attr(IFLA_IFALIAS, alias.as_bytes());
        }
        if let Some(netns) = change.netns {
            message.attr_u32(IFLA_NET_NS_FD, netns.as_raw_fd().cast_unsigned());
        }
        self.socket().request(&what, &mut message)
    }

    /// Sets a bridge port's flags: `isolated` ports reach the bridge itself but not each other; `hairpin` lets a
    /// frame leave by the port it came from.
    ///
    /// # Errors
    /// When the link is not a bridge port.
    pub fn set_bridge_port(
        &mut self,
        index: u32,
        name: &str,
        isolated: bool,
        hairpin: bool,
    ) -> Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, REQUEST | ACK, &info(index, 0, 0));
        message.nest(IFLA_LINKINFO, |m| {
            m.attr_str(IFLA_INFO_SLAVE_KIND, "bridge")
                .nest(IFLA_INFO_SLAVE_DATA, |m| {
                    m.attr_u8(IFLA_BRPORT_ISOLATED, u8::from(isolated))
                        .attr_u8(IFLA_BRPORT_MODE, u8::from(hairpin));
                });
        });
        self.socket()
            .request(&format!("set bridge port {name}"), &mut message)
    }

    /// Deletes the link called `name`; a veth's other end goes with it.
    ///
    /// # Errors
    /// `ENODEV` when there is none ([`Error::is_absent`]).
    pub fn delete_link(&mut self, name: &str) -> Result<()> {
        let what = format!("delete link {name}");
        check_name(&what, name)?;
        let mut message = Message::new(libc::RTM_DELLINK, REQUEST | ACK, &info(0, 0, 0));
        message.attr_str(IFLA_IFNAME, name);
        self.socket().request(&what, &mut message)
    }
}

/// The address family byte of an answer, for dumps that ignore the requested family.
pub(crate) fn family_of(reply: &Reply<'_>) -> Option<u8> {
    u16_at(reply.body, 0).map(|word| word.to_ne_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_mangle_are_refused() {
        for bad in ["", "..", "a/b", "a b", "sixteen-bytes-xx"] {
            assert!(check_name("test", bad).is_err(), "{bad}");
        }
    }
}
