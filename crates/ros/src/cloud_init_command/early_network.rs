//! A network for the short time in which a metadata service is asked: what the machine is told to be on the network may be
//! in its answer. Afterwards links are as they were, and the service network starts from nothing.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cloud_init::service::{Place, Reach};
use netconf::resolver::{Resolver, has_server};
use netconf::{Plan, apply, dhcp};
use sys::netlink::{Cidr, Link, LinkChange, Rtnetlink};
use sys::process::{Child, Command, Signal};

use super::loudly;
use crate::machine_config::MachineConfig;
use crate::resolv_conf::ResolvConf;

const DHCPCD: &str = "/usr/sbin/dhcpcd";
/// The image's configuration, which ours is added to.
const IMAGE_SETTINGS: &str = "/etc/dhcpcd.conf";
const SETTINGS: &str = "/run/cloud-init-dhcpcd.conf";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How long an address is waited for, with the cards' drivers.
const ADDRESS: Duration = Duration::from_secs(5);
/// How often is looked for one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Longest run of the program that shows a lease.
const SHOW: Duration = Duration::from_secs(2);

/// The network while it lasts.
pub(super) struct EarlyNetwork {
    netlink: Rtnetlink,
    plan: Plan,
    /// Links that had no address: theirs are removed again.
    bare: Vec<Link>,
    dhcpcd: Option<Child>,
    resolv_conf: String,
}

impl EarlyNetwork {
    /// Brings links up as the configuration says that is there already, by DHCP without one, and waits for an address.
    pub(super) fn up(machine: &MachineConfig, reach: Reach) -> anyhow::Result<EarlyNetwork> {
        let end = Instant::now() + ADDRESS;
        let mut early = EarlyNetwork {
            netlink: Rtnetlink::open()?,
            plan: Plan::default(),
            bare: Vec::new(),
            dhcpcd: None,
            resolv_conf: fs::read_to_string(RESOLV_CONF).unwrap_or_default(),
        };
        while hardware(&mut early.netlink)?.is_empty() && Instant::now() < end {
            std::thread::sleep(LOOK_AGAIN);
        }
        // A machine that was booted over the network (iSCSI, `ip=`) has one, and lives by it.
        if !early.has_address(reach)? {
            early.configure(machine, reach)?;
            while !early.has_address(reach)? && Instant::now() < end {
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        early.resolve(machine);
        Ok(early)
    }

    /// Whether a link of the machine, and not one of System Docker's, has an address that the service can be reached from.
    fn has_address(&mut self, reach: Reach) -> anyhow::Result<bool> {
        let own = apply::candidates(&mut self.netlink)?;
        let mut links = self.netlink.links()?;
        links.retain(|link| own.iter().any(|own| own.name == link.name));
        let addresses = self.netlink.addresses()?;
        Ok(addresses.iter().any(|address| {
            let ip = address.cidr.address();
            let is_enough = match reach {
                Reach::LinkLocalIpv6 => ip.is_ipv6(),
                Reach::LinkLocalIpv4 => ip.is_ipv4(),
                _ => false,
            };
            let is_own = links.iter().any(|link| link.index == address.link);
            is_own && (!address.link_local || is_enough)
        }))
    }

    fn configure(&mut self, machine: &MachineConfig, reach: Reach) -> anyhow::Result<()> {
        let links = hardware(&mut self.netlink)?;
        let taken = self.netlink.addresses()?;
        let is_bare = |link: &Link| {
            !taken
                .iter()
                .any(|address| address.link == link.index && !address.link_local)
        };
        self.bare = links.into_iter().filter(is_bare).collect();
        let network = &machine.loaded.config.rancher.network;
        self.plan = Plan::new(network, &apply::candidates(&mut self.netlink)?);
        let mut errors = apply::make(&mut self.netlink, &self.plan);
        for link in &self.plan.links {
            errors.extend(apply::configure(&mut self.netlink, link));
        }
        for error in errors {
            loudly(&error);
        }
        for link in self.bare.clone() {
            let up = LinkChange {
                up: Some(true),
                ..LinkChange::default()
            };
            self.netlink.change_link(link.index, &link.name, &up)?;
        }
        if reach == Reach::LinkLocalIpv4
            && let Some(link) = self.bare.first()
        {
            self.netlink
                .add_address(link.index, &link.name, made_up(link))?;
            return Ok(());
        }
        self.start_dhcpcd()
    }

    fn start_dhcpcd(&mut self) -> anyhow::Result<()> {
        let Some(settings) = dhcp::settings(&self.plan) else {
            return Ok(());
        };
        let image = fs::read_to_string(IMAGE_SETTINGS).unwrap_or_default();
        fs::write(SETTINGS, format!("{image}\n{settings}"))
            .with_context(|| format!("cannot write {SETTINGS}"))?;
        let command = Command::new(DHCPCD).args(["--nobackground", "--config", SETTINGS]);
        self.dhcpcd = Some(
            command
                .spawn()
                .with_context(|| format!("cannot start {DHCPCD}"))?,
        );
        Ok(())
    }

    /// Name servers for addresses with names: the configuration's, those of DHCP, else the defaults.
    fn resolve(&self, machine: &MachineConfig) {
        let rancher = &machine.loaded.config.rancher;
        let mut resolver =
            Resolver::new(&rancher.network, &rancher.defaults.network).with_links(&self.plan);
        let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        resolver.has_waited = !has_server(&text);
        let file = ResolvConf::default();
        let wanted = file.make().and_then(|()| file.want(&resolver));
        if let Err(error) = wanted {
            loudly(&format!("{error:#}"));
        }
    }

    /// What addresses of services need to know.
    pub(super) fn place(&mut self) -> Place {
        place(&mut self.netlink)
    }

    /// Links as they were.
    pub(super) fn down(mut self) {
        if let Some(dhcpcd) = self.dhcpcd.take() {
            // As the service network does: told to end kindly while an answer comes in, dhcpcd 10.1 crashes.
            let _ = dhcpcd.pidfd().send_signal(Signal::KILL);
            let _ = dhcpcd.wait();
        }
        let made = self.plan.vlans.iter().map(|vlan| &vlan.name);
        for name in made.chain(self.plan.bonds.keys()).chain(&self.plan.bridges) {
            // One that could not be made is not there.
            let _ = self.netlink.delete_link(name);
        }
        for link in &self.bare {
            if let Err(error) = self.netlink.flush_addresses(link.index, &link.name, &[]) {
                loudly(&format!("{}: {error}", link.name));
            }
        }
        if fs::write(RESOLV_CONF, &self.resolv_conf).is_err() {
            // Read-only then, so that nothing was written before.
            println!("{RESOLV_CONF} is left as it is");
        }
    }
}

/// What addresses of services need to know, of the network as it is now.
pub(super) fn place(netlink: &mut Rtnetlink) -> Place {
    let routes = netlink.routes().unwrap_or_default();
    let default = routes
        .iter()
        .find(|route| route.destination.prefix() == 0 && !route.destination.is_ipv6());
    let links = hardware(netlink).unwrap_or_default();
    let first = links.iter().find(|link| link.carrier);
    Place {
        link: default
            .map(|route| route.link)
            .or(first.map(|link| link.index)),
        gateway: default.and_then(|route| route.gateway),
        dhcp_server: first.and_then(|link| dhcp_server(&link.name)),
        authority: None,
    }
}

/// The machine's own cards, in the kernel's order.
fn hardware(netlink: &mut Rtnetlink) -> anyhow::Result<Vec<Link>> {
    let names: Vec<String> = apply::candidates(netlink)?
        .into_iter()
        .filter(|link| link.is_hardware)
        .map(|link| link.name)
        .collect();
    let mut links = netlink.links()?;
    links.retain(|link| names.contains(&link.name));
    links.sort_by_key(|link| link.index);
    Ok(links)
}

/// An address of 169.254.0.0/16 that is not reserved (RFC 3927): DigitalOcean's service asks for the third byte to be 1 to 168.
/// It comes from the card's own address, so that two machines of a network differ (section 2.1); the number of a process is
/// the same in all of them, since a container counts from 1.
fn made_up(link: &Link) -> Cidr {
    /// 2^64 divided by the golden ratio: the first bytes of a product depend on every byte of the other number (Knuth, 6.4).
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let seed = link.mac.map_or(u64::from(link.index), |mac| {
        mac.0
            .iter()
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    });
    let [a, b, ..] = seed.wrapping_mul(SPREAD).to_be_bytes();
    let address = IpAddr::from([169, 254, a % 168 + 1, b.clamp(1, 254)]);
    Cidr::new(address, 16).unwrap_or(Cidr::host(address))
}

/// Who gave the lease, as dhcpcd shows it.
fn dhcp_server(link: &str) -> Option<IpAddr> {
    if !Path::new(DHCPCD).exists() {
        return None;
    }
    let shown = Command::new(DHCPCD)
        .args(["--dumplease", "--ipv4only", link])
        .deadline(SHOW)
        .run()
        .ok()?;
    server_of(&String::from_utf8_lossy(&shown.stdout))
}

fn server_of(lease: &str) -> Option<IpAddr> {
    let mut lines = lease.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix("dhcp_server_identifier="))?;
    value.trim_matches('\'').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(mac: Option<[u8; 6]>) -> Link {
        Link {
            index: 2,
            name: "eth0".into(),
            mac: mac.map(sys::netlink::MacAddress),
            mtu: 1500,
            up: true,
            carrier: true,
            kind: String::new(),
            master: None,
            parent: None,
            alias: None,
        }
    }

    #[test]
    fn made_up_addresses_are_in_their_range_and_each_cards_own() {
        let cards = (0..=u16::MAX).map(|number| {
            let [high, low] = number.to_be_bytes();
            card(Some([0x52, 0x54, 0, 0x12, high, low]))
        });
        let mut all = std::collections::BTreeSet::new();
        for link in cards.chain([card(Some([0xff; 6])), card(Some([0; 6])), card(None)]) {
            let IpAddr::V4(ip) = made_up(&link).address() else {
                panic!("not IPv4");
            };
            let [first, second, third, fourth] = ip.octets();
            assert_eq!((first, second), (169, 254));
            assert!(
                (1..=168).contains(&third) && (1..=254).contains(&fourth),
                "{ip}"
            );
            all.insert(ip);
        }
        // 168 * 254 are possible.
        assert!(all.len() > 20_000, "{}", all.len());
        // Every byte counts, and it is the same address at the next boot.
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        let one = made_up(&card(Some(mac)));
        for byte in 0..mac.len() {
            let mut other = mac;
            other[byte] += 1;
            assert_ne!(made_up(&card(Some(other))), one, "byte {byte}");
        }
        assert_eq!(made_up(&card(Some(mac))), one);
    }

    #[test]
    fn the_server_of_a_lease_is_found() {
        let lease = "broadcast_address='10.1.1.255'\ndhcp_server_identifier='10.1.1.1'\nip_address='10.1.1.14'\n";
        assert_eq!(server_of(lease), Some("10.1.1.1".parse().unwrap()));
        assert_eq!(server_of("reason='BOUND'\n"), None);
    }
}
