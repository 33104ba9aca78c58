//! What the values of an entry of `interfaces` mean: names, addresses, routes, rules and VLANs.

use std::net::IpAddr;

use sys::netlink::{Cidr, Rule, TABLE_MAIN};

use crate::plan::{StaticRoute, Vlan};

/// Of a rule that names none: before that of the main table, 32766 (ip-rule(8)).
const DEFAULT_PRIORITY: u32 = 1000;

/// Names the kernel takes.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '*');
    !name.is_empty() && name.len() <= 15 && name.chars().all(good) && name != "." && name != ".."
}

/// Reads `10.0.0.2/24`. An address without a prefix is that of one host: its prefix is as long as the address.
pub(crate) fn cidr(text: &str) -> Result<Cidr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Cidr::host(address));
    }
    text.parse()
        .map_err(|_| format!("{text:?} is not an address with its prefix, as 10.0.0.2/24"))
}

/// Where a default route leads: `0.0.0.0/0` or `::/0`.
pub(crate) fn everything(ipv6: bool) -> Cidr {
    let any: IpAddr = if ipv6 {
        [0_u8; 16].into()
    } else {
        [0_u8; 4].into()
    };
    Cidr::new(any, 0).unwrap_or(Cidr::host(any))
}

/// An entry of `routes`; `metric` is that of its link.
pub(crate) fn static_route(
    entry: &config::cloud_config::RouteEntry,
    metric: Option<u32>,
) -> Result<StaticRoute, String> {
    let gateway = entry.via.as_deref().map(|text| {
        text.trim()
            .parse::<IpAddr>()
            .map_err(|_| format!("{text:?} is not an address"))
    });
    let gateway = gateway.transpose()?;
    let destination = match entry.to.as_deref() {
        Some("default") => everything(gateway.is_some_and(|gateway| gateway.is_ipv6())),
        Some(text) => cidr(text)?.network(),
        None => return Err("`to` is missing".to_owned()),
    };
    if gateway.is_some_and(|gateway| gateway.is_ipv6() != destination.is_ipv6()) {
        return Err("`to` and `via` are of different families".to_owned());
    }
    let own = entry
        .metric
        .map(|metric| u32::try_from(metric).map_err(|_| "metric is out of range".to_owned()));
    Ok(StaticRoute {
        destination,
        gateway,
        metric: own.transpose()?.or(metric).unwrap_or(0),
        table: table(entry.table)?.unwrap_or(TABLE_MAIN),
    })
}

/// A table's number; 0 means none to the kernel.
fn table(number: Option<i64>) -> Result<Option<u32>, String> {
    let valid = |number| u32::try_from(number).ok().filter(|number| *number > 0);
    number
        .map(|number| valid(number).ok_or_else(|| "table is out of range".to_owned()))
        .transpose()
}

/// An entry of `rules`: for the family of its addresses, and for both when it has none.
pub(crate) fn rules(entry: &config::cloud_config::RuleEntry) -> Result<Vec<Rule>, String> {
    let network = |text: &Option<String>| {
        let text = text.as_deref().filter(|text| *text != "all");
        text.map(cidr)
            .transpose()
            .map(|cidr| cidr.map(Cidr::network))
    };
    let (from, to) = (network(&entry.from)?, network(&entry.to)?);
    let table = table(entry.table)?.ok_or("`table` is missing")?;
    let number = |value: Option<i64>, name: &str| {
        let number = value.map(u32::try_from).transpose();
        number.map_err(|_| format!("{name} is out of range"))
    };
    let mark = number(entry.mark, "mark")?;
    let priority = number(entry.priority, "priority")?.unwrap_or(DEFAULT_PRIORITY);
    let families: &[bool] = match (from, to) {
        (Some(from), Some(to)) if from.is_ipv6() != to.is_ipv6() => {
            return Err("`from` and `to` are of different families".to_owned());
        }
        (Some(one), _) | (None, Some(one)) if one.is_ipv6() => &[true],
        (Some(_), _) | (None, Some(_)) => &[false],
        (None, None) => &[false, true],
    };
    let rule = |ipv6: &bool| Rule {
        ipv6: *ipv6,
        from,
        to,
        mark,
        table,
        priority,
    };
    Ok(families.iter().map(rule).collect())
}

/// `100,200:name` on a link: `eth1.100` and `name`.
pub(crate) fn vlans(parent: &str, text: &str) -> (Vec<Vlan>, Vec<String>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (id, name) = part.split_once(':').unwrap_or((part, ""));
        let name = if name.is_empty() {
            format!("{parent}.{id}")
        } else {
            name.to_owned()
        };
        match id.parse::<u16>() {
            Ok(id @ 1..=4094) if is_name(&name) => good.push(Vlan {
                name,
                parent: parent.to_owned(),
                id,
            }),
            _ => bad.push(format!("vlans: {part:?} is not NUMBER or NUMBER:NAME")),
        }
    }
    (good, bad)
}
