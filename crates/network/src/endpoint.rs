//! One container on one network: checking the wish, taking addresses, making and removing the link.

use std::collections::HashSet;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use engine_api::{EndpointSettings, Error, Result};
use objects::ids;
use sys::netlink::{Cidr, MacAddress, Rtnetlink};

use super::record::{EndpointRecord, NetworkRecord, Subnet, link_local};
use super::{Driver, State, bridge, ipam, macvlan, server};

/// Who the endpoint is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) hostname: &'a str,
}

/// The MAC address Docker gives to an IPv4 address: `02:42` and its four bytes.
fn mac_of(address: IpAddr) -> Option<MacAddress> {
    let IpAddr::V4(v4) = address else {
        return None;
    };
    let [a, b, c, d] = v4.octets();
    Some(MacAddress([0x02, 0x42, a, b, c, d]))
}

/// The wishes in `settings`, without what an earlier attachment filled in: what to keep of a stopped container.
pub fn without_state(settings: &EndpointSettings) -> EndpointSettings {
    let derived = settings
        .ip_address
        .parse()
        .ok()
        .and_then(mac_of)
        .map(|mac| mac.to_string());
    let own_mac = derived.as_deref() != Some(settings.mac_address.as_str());
    EndpointSettings {
        ipam_config: settings.ipam_config.clone(),
        links: settings.links.clone(),
        aliases: settings.aliases.clone(),
        driver_opts: settings.driver_opts.clone(),
        mac_address: if own_mac {
            settings.mac_address.clone()
        } else {
            String::new()
        },
        network_id: settings.network_id.clone(),
        ..EndpointSettings::default()
    }
}

/// The fixed address a client asks for.
fn wished_address(settings: &EndpointSettings, ipv6: bool) -> Result<Option<IpAddr>> {
    let Some(config) = &settings.ipam_config else {
        return Ok(None);
    };
    let (text, family) = if ipv6 {
        (&config.ipv6_address, "IPv6")
    } else {
        (&config.ipv4_address, "IPv4")
    };
    if text.is_empty() {
        return Ok(None);
    }
    // An IPv4 address written as IPv6 is one of IPv4 to Docker.
    let parsed = text.parse().ok().filter(|address: &IpAddr| {
        address.to_canonical().is_ipv6() == ipv6 && !address.is_unspecified()
    });
    let parsed = parsed.map(|address| address.to_canonical());
    let invalid = || {
        Error::bad_parameter(format!(
            "invalid endpoint settings:\ninvalid {family} address: {text}"
        ))
    };
    parsed.map(Some).ok_or_else(invalid)
}

/// What an address that a user wishes for needs; in Docker's words.
const USER_DEFINED: &str = "user specified IP address is supported on user defined networks only";
const USER_SUBNETS: &str = "user specified IP address is supported only when connecting to networks with user configured subnets";

/// Checks a wish against the network, in Docker's words.
pub(super) fn validate(network: &NetworkRecord, settings: &EndpointSettings) -> Result<()> {
    let bad = |complaint: String| {
        Error::bad_parameter(format!("invalid endpoint settings:\n{complaint}"))
    };
    if settings
        .links
        .as_ref()
        .is_some_and(|links| !links.is_empty())
    {
        return Err(Error::bad_parameter(
            "links are not supported by System Docker: containers on a user-defined network find each other by name",
        ));
    }
    if !settings.mac_address.is_empty() && settings.mac_address.parse::<MacAddress>().is_err() {
        return Err(Error::bad_parameter(format!(
            "invalid MAC address {}",
            settings.mac_address
        )));
    }
    let aliases = settings.aliases.as_deref().unwrap_or_default();
    if network.is_predefined() && !aliases.is_empty() {
        return Err(bad(
            "network-scoped alias is supported only for containers in user defined networks".into(),
        ));
    }
    link_local(settings)?;
    for ipv6 in [false, true] {
        let Some(address) = wished_address(settings, ipv6)? else {
            continue;
        };
        if network.is_predefined() {
            return Err(bad(format!("* {USER_DEFINED}\n* {USER_SUBNETS}")));
        }
        if !network.user_subnets {
            return Err(bad(USER_SUBNETS.into()));
        }
        // Docker takes an IPv6 address that fits even where IPv6 is off, and gives none.
        let fits_unused = ipv6
            && !network.enable_ipv6
            && network.ipam.config.iter().any(|config| {
                let subnet = config.subnet.parse::<Cidr>();
                subnet.is_ok_and(|subnet| subnet.network().contains(address))
            });
        let fits = |subnet: &Subnet| subnet.network.contains(address);
        if !fits_unused && !network.subnets().iter().any(fits) {
            return Err(bad(format!(
                "no configured subnet or ip-range contain the IP address {address}"
            )));
        }
    }
    Ok(())
}

fn dns_names(owner: Owner<'_>, settings: &EndpointSettings) -> Vec<String> {
    let aliases = settings.aliases.iter().flatten().map(String::as_str);
    let mut names: Vec<String> = Vec::new();
    for name in [owner.name]
        .into_iter()
        .chain(aliases)
        .chain([ids::short(owner.id), owner.hostname])
    {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Takes addresses and names for an endpoint; nothing is told to the kernel yet.
pub(super) fn plan(
    state: &State,
    network: &NetworkRecord,
    settings: &EndpointSettings,
    owner: Owner<'_>,
    number: usize,
) -> Result<EndpointRecord> {
    let wish = without_state(settings);
    validate(network, &wish)?;
    let driver = network.driver();
    let mut endpoint = EndpointRecord {
        network_id: network.id.clone(),
        network_name: network.name.clone(),
        endpoint_id: ids::new_id()?,
        dns_names: dns_names(owner, &wish),
        ..EndpointRecord::default()
    };
    if matches!(driver, Driver::Host | Driver::Null) {
        return Ok(EndpointRecord { wish, ..endpoint });
    }
    let others = state
        .sandboxes
        .values()
        .flat_map(|sandbox| &sandbox.record.endpoints);
    let used: HashSet<IpAddr> = others
        .filter(|other| other.network_id == network.id)
        .flat_map(EndpointRecord::addresses)
        .collect();
    let take = |ipv6: bool| -> Result<(Option<Cidr>, Option<IpAddr>)> {
        // Where IPv6 is off, a wish for an address of it is kept and not granted.
        let wished = wished_address(&wish, ipv6)?.filter(|_| !ipv6 || network.enable_ipv6);
        let taken = ipam::allocate(network, ipv6, wished, &used)?;
        let gateway = taken
            .as_ref()
            .and_then(|(_, subnet)| subnet.gateway)
            .filter(|_| !network.internal);
        Ok((taken.map(|(cidr, _)| cidr), gateway))
    };
    (endpoint.ipv4, endpoint.gateway4) = take(false)?;
    (endpoint.ipv6, endpoint.gateway6) = take(true)?;
    let options = network.driver_options();
    if driver == Driver::Ipvlan && options.ipvlan_mode > 0 {
        // Layer 3: the unspecified address stands for "the link itself".
        endpoint.gateway4 = endpoint.gateway4.map(|_| IpAddr::from([0u8; 4]));
        endpoint.gateway6 = endpoint.gateway6.map(|_| IpAddr::from([0u8; 16]));
    }
    endpoint.interface = format!("{}{number}", options.interface_prefix);
    if driver == Driver::Bridge {
        endpoint.host_link = Some(format!("veth{}", &ids::new_id()?[..7]));
    }
    endpoint.mac = choose_mac(driver, &wish, endpoint.ipv4)?;
    endpoint.wish = wish;
    Ok(endpoint)
}

fn choose_mac(driver: Driver, wish: &EndpointSettings, ipv4: Option<Cidr>) -> Result<String> {
    if driver == Driver::Ipvlan {
        return Ok(String::new());
    }
    if !wish.mac_address.is_empty() {
        return Ok(wish.mac_address.clone());
    }
    match ipv4
        .map(Cidr::address)
        .and_then(mac_of)
        .filter(|_| driver == Driver::Bridge)
    {
        Some(mac) => Ok(mac.to_string()),
        None => Ok(bridge::random_mac()?.to_string()),
    }
}

/// Makes the endpoint's link in `netns`.
pub(super) fn make_link(
    network: &NetworkRecord,
    endpoint: &EndpointRecord,
    netns: BorrowedFd<'_>,
) -> Result<()> {
    match network.driver() {
        Driver::Bridge => bridge::connect(network, endpoint, netns),
        Driver::Macvlan | Driver::Ipvlan => macvlan::connect(network, endpoint, netns),
        Driver::Host | Driver::Null => Ok(()),
    }
}

/// Deletes the host's end of the link; links that live in the container's namespace go with it.
pub(super) fn delete_host_link(endpoint: &EndpointRecord) -> Result<()> {
    let Some(host_link) = &endpoint.host_link else {
        return Ok(());
    };
    match Rtnetlink::open().and_then(|mut netlink| netlink.delete_link(host_link)) {
        Err(error) if !error.is_absent() => Err(server(error)),
        _ => Ok(()),
    }
}
