//! `ros net status`: the host name, links, addresses, routes, rules and name servers as the kernel has them.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use machine_config::lease_names::{self, LeaseName};
use netconf::wireguard::text;
use serde_json::{Value, json};
use sys::netlink::wireguard::Wireguard;
use sys::netlink::{Rtnetlink, Rule, TABLE_MAIN};

use crate::cli::Format;
use crate::wifi::{self, Supplicant};
use system_docker::table;

/// Prints them.
pub(crate) fn main(format: Format) -> anyhow::Result<ExitCode> {
    let status = status()?;
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Format::Table => print_table(&status),
    }
    Ok(ExitCode::SUCCESS)
}

/// Links without those of containers.
pub(crate) fn status() -> anyhow::Result<Value> {
    let mut netlink = Rtnetlink::open()?;
    let (links, addresses, mut routes) =
        (netlink.links()?, netlink.addresses()?, netlink.routes()?);
    let others = netlink.own_routes()?.into_iter();
    routes.extend(others.filter(|route| route.table != TABLE_MAIN));
    let rules: Vec<Value> = netlink.own_rules()?.iter().map(rule).collect();
    let name = |index: u32| {
        links
            .iter()
            .find(|link| link.index == index)
            .map_or("", |link| link.name.as_str())
    };
    let shown = links.iter().filter(|link| link.kind != "veth");
    let links_json: Vec<Value> = shown
        .map(|link| {
            let own = addresses.iter().filter(|address| address.link == link.index);
            let mut shown = json!({
                "name": link.name,
                "state": match (link.up, link.carrier) { (false, _) => "down", (true, false) => "no carrier", _ => "up" },
                "kind": link.kind,
                "mac": link.mac.map(|mac| mac.to_string()),
                "mtu": link.mtu,
                "master": link.master.map(name),
                "addresses": own.map(|address| address.cidr.to_string()).collect::<Vec<_>>(),
            });
            if link.kind == "wireguard" {
                shown["wireguard"] = wireguard(&link.name);
            }
            if let Some(state) = wifi(&link.name) {
                shown["wifi"] = state.into();
            }
            shown
        })
        .collect();
    let routes_json: Vec<Value> = routes
        .iter()
        .filter(|route| route.gateway.is_some() || route.destination.prefix() == 0)
        .map(|route| {
            json!({
                "to": if route.destination.prefix() == 0 { "default".to_owned() } else { route.destination.to_string() },
                "via": route.gateway.map(|gateway| gateway.to_string()),
                "link": name(route.link),
                "metric": route.metric,
                "table": route.table,
            })
        })
        .collect();
    let resolv = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let words = |key: &str| -> Vec<String> {
        let lines = resolv.lines().filter_map(|line| line.strip_prefix(key));
        lines
            .flat_map(str::split_ascii_whitespace)
            .map(str::to_owned)
            .collect()
    };
    Ok(json!({
        "hostname": hostname(),
        "links": links_json,
        "routes": routes_json,
        "rules": rules,
        "dns": { "nameservers": words("nameserver "), "search": words("search ") },
    }))
}

/// The machine's name, and the link whose DHCP server gave it; no link when somebody else did.
fn hostname() -> Value {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim_end();
    let lease = LeaseName::load(Path::new(lease_names::DIRECTORY));
    let link = lease.filter(|lease| lease.name == name);
    json!({ "name": name, "dhcp": link.map(|lease| lease.link) })
}

/// One that `rancher.network` has asked for.
fn rule(rule: &Rule) -> Value {
    json!({
        "priority": rule.priority,
        "family": if rule.ipv6 { "ipv6" } else { "ipv4" },
        "from": rule.from.map(|cidr| cidr.to_string()),
        "to": rule.to.map(|cidr| cidr.to_string()),
        "mark": rule.mark,
        "table": rule.table,
    })
}

/// A WireGuard device with its peers; nothing for whoever may not read it.
fn wireguard(name: &str) -> Value {
    let device = Wireguard::open().and_then(|mut devices| devices.device(name));
    let Ok(device) = device else {
        return Value::Null;
    };
    let peers = device.peers.iter().map(|(key, endpoint)| {
        json!({ "public_key": text(key), "endpoint": endpoint.map(|address| address.to_string()) })
    });
    json!({
        "public_key": device.public_key.as_ref().map(text),
        "listen_port": device.listen_port,
        "peers": peers.collect::<Vec<_>>(),
    })
}

/// How far a card that joins a Wi-Fi network has come, in wpa_supplicant's words; none for other links.
fn wifi(name: &str) -> Option<String> {
    let directory = Path::new(wifi::DIRECTORY);
    let joins = directory.join(format!("{name}.conf")).exists();
    joins.then(|| {
        let state = Supplicant::new(directory).state(name);
        state.unwrap_or_else(|| {
            "not known: the service wifi answers root only, if it runs".to_owned()
        })
    })
}

/// A line a link, for `ros status`.
pub(crate) fn lines() -> Vec<String> {
    let status = status().unwrap_or_default();
    let links = status["links"].as_array().cloned().unwrap_or_default();
    let shown = links.iter().filter(|link| link["name"] != "lo");
    shown
        .map(|link| {
            let addresses = link["addresses"].as_array().cloned().unwrap_or_default();
            let addresses: Vec<&str> = addresses.iter().filter_map(Value::as_str).collect();
            let word = |key: &str| link[key].as_str().unwrap_or("").to_owned();
            format!(
                "{}: {} {}",
                word("name"),
                word("state"),
                addresses.join(" ")
            )
        })
        .collect()
}

/// How far each card has come that joins a Wi-Fi network.
fn print_cards(status: &Value) {
    for link in status["links"].as_array().into_iter().flatten() {
        if let Some(state) = link["wifi"].as_str() {
            println!(
                "\nWi-Fi {}: {state}",
                link["name"].as_str().unwrap_or_default()
            );
        }
    }
}

fn print_table(status: &Value) {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    };
    let rows = |list: &Value, keys: &[&str]| -> Vec<Vec<String>> {
        let items = list.as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| keys.iter().map(|key| words(&item[*key])).collect())
            .collect()
    };
    print!(
        "{}",
        table::format(
            &["LINK", "STATE", "MTU", "MAC", "MASTER", "ADDRESSES"],
            &rows(
                &status["links"],
                &["name", "state", "mtu", "mac", "master", "addresses"]
            )
        )
    );
    println!();
    print!(
        "{}",
        table::format(
            &["TO", "VIA", "LINK", "METRIC", "TABLE"],
            &rows(&status["routes"], &["to", "via", "link", "metric", "table"])
        )
    );
    let keys = ["priority", "family", "from", "to", "mark", "table"];
    let rules = rows(&status["rules"], &keys);
    if !rules.is_empty() {
        let head = ["PRIORITY", "FAMILY", "FROM", "TO", "MARK", "TABLE"];
        print!("\n{}", table::format(&head, &rules));
    }
    for link in status["links"].as_array().into_iter().flatten() {
        let device = &link["wireguard"];
        if device.is_object() {
            let name = link["name"].as_str().unwrap_or_default();
            let (key, port) = (words(&device["public_key"]), words(&device["listen_port"]));
            println!("\nWireGuard {name}: {key}, port {port}");
            for peer in device["peers"].as_array().into_iter().flatten() {
                println!(
                    "  peer {} at {}",
                    words(&peer["public_key"]),
                    words(&peer["endpoint"])
                );
            }
        }
    }
    print_cards(status);
    let from = match &status["hostname"]["dhcp"] {
        Value::String(link) => format!(" (by DHCP on {link})"),
        _ => String::new(),
    };
    println!("\nHost name: {}{from}", words(&status["hostname"]["name"]));
    println!(
        "DNS: {}  search: {}",
        words(&status["dns"]["nameservers"]),
        words(&status["dns"]["search"])
    );
}
