//! Two machines with five cards each, on the same links: bond, VLANs, gateways, bridge, WireGuard; asserted on both. And one on
//! a link where nobody speaks IPv4.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use tempfile::TempDir;

use super::configuration::disc;
use super::user_data::prints;
use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT, READY};
use crate::machine::{Boot, Machine};
use crate::router::{self, Router};

/// Routes for the other, has a container on the bridge, and learns where its peer is.
const GATE: &str = "#cloud-config
hostname: gate
write_files:
- {path: /etc/tunnel.key, container: network, permissions: '0600', content: 6NwJ7uzWi9RfoTAsobXJ3pIccmkuPWi/XGUlFcZe/VA=}
rancher:
  network:
    interfaces:
      eth0: {dhcp: true}
      bond0: {bond_opts: {mode: active-backup, miimon: 100}, vlans: '100,200:second'}
      eth1: {bond: bond0}
      eth2: {bond: bond0}
      bond0.100: {address: 10.100.0.1/24}
      second: {address: 10.200.0.1/24}
      br0: {bridge: 'true', addresses: [10.44.0.1/24, 203.0.113.7/32]}
      eth3: {bridge: br0}
      tunnel:
        address: 10.55.0.1/24
        wireguard:
          private_key: /etc/tunnel.key
          listen_port: 51820
          peers:
          - public_key: jTC+3KTHEJuRqg0H8vLQY/ixIW+ic6G9TIrA1giqs04=
            allowed_ips: [10.55.0.2/32, 198.18.2.0/24]
";

/// Has three gateways, and says where its peer is.
const NODE: &str = "#cloud-config
hostname: node
rancher:
  network:
    interfaces:
      eth0: {address: 10.0.2.15/24, gateway: 10.0.2.2, metric: 500}
      bond0: {bond_opts: {mode: active-backup, miimon: 100}, vlans: '100,200:second'}
      eth1: {bond: bond0}
      eth2: {bond: bond0}
      bond0.100: {address: 10.100.0.2/24, gateway: 10.100.0.1, metric: 50}
      second: {address: 10.200.0.2/24, gateway: 10.200.0.1, metric: 60}
      eth3: {address: 10.44.0.2/24}
      tunnel:
        addresses: [10.55.0.2/24, 198.18.2.1/24]
        wireguard:
          private_key: QEQ+VtGvUuhhLkQ/YJys48PRioMNNy6Sw8bIG/2kTFI=
          peers:
          - public_key: 43Y8FHghVuC1ggp/UaMyUWQGcL+UnyrjHk0JGSWQiiM=
            endpoint: 10.100.0.1:51820
            allowed_ips: [10.55.0.1/32]
            keepalive: 5
";

/// Links between the two: what eth1, eth2 and eth3 are plugged into.
const LINKS: usize = 3;

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "network_of_two_machines_has_bond_vlans_gateways_bridge_and_wireguard",
            two_machines,
        ),
        alone(
            context,
            "network_with_ipv6_only_has_names_and_the_time",
            ipv6_only,
        ),
    ]
}

/// A machine with its end of each link.
fn start(
    context: &Context,
    folder: &Path,
    names: [&str; 2],
    user_data: &str,
) -> anyhow::Result<Guest> {
    let [own, other] = names;
    let drive = disc(
        "cidata",
        &[
            ("user-data", user_data),
            ("meta-data", "instance-id: one\n"),
        ],
    )?;
    let number = if own < other { 1 } else { 2 };
    let mut arguments = Vec::new();
    for link in 1..=LINKS {
        let end = |name: &str| folder.join(format!("{name}-{link}")).display().to_string();
        arguments.extend([
            "-netdev".to_owned(),
            format!(
                "dgram,id=link{link},local.type=unix,local.path={},remote.type=unix,remote.path={}",
                end(own),
                end(other)
            ),
            "-device".to_owned(),
            format!(
                "virtio-net-pci,id=card{link},netdev=link{link},mac=52:54:00:0{number}:00:0{link}"
            ),
        ]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Machine::new(&format!("two-{own}"), Boot::Kernel)
        .memory_mib(1536)
        .disc(&drive.path)
        .arguments(&arguments)
        .start(&context.artifacts)
}

fn two_machines(context: &Context) -> anyhow::Result<()> {
    let folder = TempDir::new().context("cannot make a folder for links")?;
    let mut gate = start(context, folder.path(), ["gate", "node"], GATE)?;
    let mut node = start(context, folder.path(), ["node", "gate"], NODE)?;
    for guest in [&gate, &node] {
        guest.wait_ready()?;
    }
    vlans(&gate, &node).context("VLANs on a bond")?;
    gateways(&gate, &node).context("gateways")?;
    bond(&mut gate, &mut node).context("a bond whose first card loses its cable")?;
    wireguard(&gate, &node).context("WireGuard")?;
    bridge(&gate, &node).context("a bridge with a container")?;
    gate.check()?;
    node.check()
}

/// Waits until an address answers.
fn reaches(guest: &Guest, address: &str) -> anyhow::Result<()> {
    guest
        .run_until(&format!("ping -c 1 -W 2 {address}"), BOOT_DEADLINE)
        .map(drop)
}

fn vlans(gate: &Guest, node: &Guest) -> anyhow::Result<()> {
    for guest in [gate, node] {
        prints(
            guest,
            "cat /sys/class/net/bond0/bonding/mode",
            "active-backup 1",
        )?;
        prints(
            guest,
            "tr ' ' '\\n' < /sys/class/net/bond0/bonding/slaves | sort | tr '\\n' ' '",
            "eth1 eth2",
        )?;
        for (link, id) in [("bond0.100", 100), ("second", 200)] {
            guest.run(&format!("ip -d link show {link} | grep -q '{link}@bond0' && ip -d link show {link} | grep -q 'vlan .*id {id}'"))?;
        }
    }
    for (from, to) in [
        (node, "10.100.0.1"),
        (node, "10.200.0.1"),
        (gate, "10.100.0.2"),
        (gate, "10.200.0.2"),
    ] {
        reaches(from, to)?;
    }
    // Each by its own VLAN: the addresses of the other's cards.
    for guest in [gate, node] {
        guest.run("ip neigh show dev bond0.100 | grep -q '^10.100.0' && ip neigh show dev second | grep -q '^10.200.0'")?;
    }
    Ok(())
}

/// Packets that have come by a link.
fn received(guest: &Guest, link: &str) -> anyhow::Result<u64> {
    let text = guest.run(&format!("cat /sys/class/net/{link}/statistics/rx_packets"))?;
    text.parse().with_context(|| format!("{link}: {text}"))
}

fn gateways(gate: &Guest, node: &Guest) -> anyhow::Result<()> {
    prints(
        node,
        "ip route show default | awk '{print $3, $5, $NF}' | sort",
        "10.0.2.2 eth0 500\n10.100.0.1 bond0.100 50\n10.200.0.1 second 60",
    )?;
    for (link, other) in [("bond0.100", "second"), ("second", "bond0.100")] {
        let before = (received(gate, link)?, received(gate, other)?);
        node.run("ping -c 20 -i 0.2 -W 2 203.0.113.7")?;
        let after = (received(gate, link)?, received(gate, other)?);
        ensure!(
            after.0 >= before.0 + 20 && after.1 < before.1 + 20,
            "not by {link}: {before:?}, {after:?}"
        );
        if link == "bond0.100" {
            node.run("sudo ip route del default via 10.100.0.1")?;
        }
    }
    node.run("sudo ros service restart network")?;
    node.run_until(
        "ip route show default | grep -q '10.100.0.1 .*metric 50'",
        BOOT_DEADLINE,
    )?;
    Ok(())
}

/// Both ends of a link lose their carrier, as with a switch that fails.
fn bond(gate: &mut Guest, node: &mut Guest) -> anyhow::Result<()> {
    for guest in [&mut *gate, &mut *node] {
        guest
            .qmp
            .run("set_link", json!({"name": "card1", "up": false}))?;
    }
    for guest in [&*gate, &*node] {
        guest.run_until(
            "grep -q eth2 /sys/class/net/bond0/bonding/active_slave",
            BOOT_DEADLINE,
        )?;
    }
    reaches(node, "10.100.0.1")?;
    reaches(gate, "10.200.0.2")
}

fn wireguard(gate: &Guest, node: &Guest) -> anyhow::Result<()> {
    reaches(node, "10.55.0.1")?;
    reaches(gate, "10.55.0.2")?;
    // What the peer may send is routed to it.
    reaches(gate, "198.18.2.1")?;
    let status = gate.run("sudo ros net status --format json")?;
    for words in [
        "43Y8FHghVuC1ggp/UaMyUWQGcL+UnyrjHk0JGSWQiiM=",
        "jTC+3KTHEJuRqg0H8vLQY/ixIW+ic6G9TIrA1giqs04=",
        "10.100.0.2:",
    ] {
        ensure!(status.contains(words), "{words} is not in {status}");
    }
    for (guest, secret) in [(gate, "6NwJ7uzWi9R"), (node, "QEQ+VtGvUuhh")] {
        let shown = guest.run("sudo ros config export; sudo ros config diff; sudo ros net status; sudo ros status; system-docker logs network 2>&1; sudo dmesg")?;
        ensure!(!shown.contains(secret), "the private key is shown: {shown}");
    }
    // What is taken out of the configuration goes, and comes back with it.
    let key = "rancher.network.interfaces.tunnel.wireguard.peers";
    node.run(&format!(
        "sudo ros config set {key} '[]' && sudo ros config apply"
    ))?;
    node.run_until(
        "! sudo ros net status --format json | grep -q 43Y8FHgh",
        BOOT_DEADLINE,
    )?;
    ensure!(
        node.ssh.answer("ping -c 2 -W 2 10.55.0.1")?.code != 0,
        "a peer that is gone answers"
    );
    node.run(&format!(
        "sudo ros config set {key} null && sudo ros config apply"
    ))?;
    reaches(node, "10.55.0.1")?;
    reaches(gate, "10.55.0.2")
}

fn bridge(gate: &Guest, node: &Guest) -> anyhow::Result<()> {
    prints(
        gate,
        "basename $(readlink /sys/class/net/eth3/master)",
        "br0",
    )?;
    reaches(node, "10.44.0.1")?;
    gate.wait_docker()?;
    gate.run("docker network create --subnet 10.44.0.0/24 --gateway 10.44.0.1 -o com.docker.network.bridge.name=br0 lan")?;
    gate.run("docker run -d --name page --network lan --ip 10.44.0.50 busybox sh -c 'echo on-the-bridge > /tmp/index.html; exec httpd -f -p 80 -h /tmp'")?;
    gate.run("docker exec page ping -c 3 10.44.0.2")?;
    prints(node, "wget -qO- -T 20 http://10.44.0.50/", "on-the-bridge")
}

/// Addresses by router advertisements and DHCPv6, and the way out; a name's address and the time from servers that have IPv6 only.
fn ipv6_only(context: &Context) -> anyhow::Result<()> {
    let folder = TempDir::new().context("cannot make a folder for the link")?;
    let router = Router::start(folder.path())?;
    let name = router::NAME;
    let drive = disc(
        "cidata",
        &[
            (
                "user-data",
                &format!("#cloud-config\nhostname: six\nntp: {{servers: [{name}]}}\n"),
            ),
            ("meta-data", "instance-id: one\n"),
        ],
    )?;
    let card = router.card();
    let mut arguments: Vec<&str> = card.iter().map(String::as_str).collect();
    arguments.extend(["-rtc", "base=2020-01-01T00:00:00"]);
    let guest = Machine::new("ipv6-only", Boot::Kernel)
        .without_network()
        .disc(&drive.path)
        .parameters("rancher.autologin=ttyS0")
        .arguments(&arguments)
        .start(&context.artifacts)?;
    guest.console.wait(READY, BOOT_DEADLINE)?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    for (command, words) in [
        (
            "until ip -6 route | grep -q ^default; do sleep 1; done; ip -6 route show default | sed 's/^/got-/'",
            "got-default via fe80::1 dev eth0",
        ),
        (
            "ip -6 -o addr show dev eth0 scope global | awk '{print \"got-\" $4}'",
            "got-2001:db8:6:",
        ),
        (
            "until ip -6 -o addr show dev eth0 scope global | grep -q 2001:db8:6::77/; do sleep 1; done; echo leased-$((1 + 1))",
            "leased-2",
        ),
        (
            "until grep -q 2001:db8:6::53 /etc/resolv.conf; do sleep 1; done; echo names-$((1 + 1))",
            "names-2",
        ),
        (
            "ip -4 -o addr show dev eth0 scope global | wc -l | sed 's/^/four-/'",
            "four-0",
        ),
        (
            "until grep -q 2001:db8:6::1 /etc/resolv.conf; do sleep 1; done; sed 's/^/got-/' /etc/resolv.conf",
            "got-nameserver 2001:db8:6::1",
        ),
        (
            "getent ahosts time.test | head -1 | awk '{print \"name-\" $1}'",
            "name-2001:db8:6::1",
        ),
        (
            "ping -c 1 time.test | sed -n 's/.* \\([01]\\) received.*/answers-\\1/p'",
            "answers-1",
        ),
        (
            "until test $(date +%Y) -gt 2020; do sleep 1; done; echo year-$((1 + 1))",
            "year-2",
        ),
    ] {
        guest.types(command, words)?;
    }
    let asked = router.asked();
    ensure!(
        asked.names > 0 && asked.times > 0,
        "the router was asked for {asked:?}"
    );
    guest.check()
}
