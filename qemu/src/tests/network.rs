//! The network from `rancher.network`, asserted in the guest: rows 25, 32, 36 to 40 of RancherOS's tests.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use super::user_data::{booted, prints};
use crate::context::{Context, alone};
use crate::guest::BOOT_DEADLINE;
use crate::machine::{Boot, Machine};

/// eth0 is the way in and static; eth1 has everything else; eth2 and eth3 are one bond.
const USER_DATA: &str = "#cloud-config
rancher:
  network:
    pre_cmds: [echo pre_cmds >> /var/log/net.log]
    post_cmds: [echo post_cmds >> /var/log/net.log]
    dns:
      nameservers: [10.0.2.3, 'fd00::53']
      search: [lan.example.org, example.org]
    interfaces:
      eth0:
        address: 10.0.2.15/24
        gateway: 10.0.2.2
        pre_up: [echo pre_up $iface >> /var/log/net.log]
        post_up: [[sh, -c, echo post_up $iface >> /var/log/net.log]]
      mac=52:54:00:00:01:01:
        addresses: [10.9.1.2/24, 10.9.1.3/24, 'fd00:9::2/64']
        gateway: 10.9.1.1
        gateway_ipv6: fd00:9::1
        mtu: 1450
        vlans: 100,200:named
        routes: [{to: 192.168.7.0/24, via: 10.9.1.9, metric: 9}]
      br0: {bridge: 'true', address: 10.9.2.1/24}
      eth1.100: {bridge: br0}
      bond0:
        address: 10.9.3.2/24
        bond_opts: {mode: active-backup, miimon: 100}
      eth2: {bond: bond0}
      eth3: {bond: bond0}
      eth4: {dhcp: false}
";

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "network_is_what_user_data_says_and_changes_on_restart",
            is_what_user_data_says_and_changes_on_restart,
        ),
        alone(
            context,
            "network_takes_the_name_that_a_dhcp_server_gives",
            takes_the_name_that_a_dhcp_server_gives,
        ),
        alone(
            context,
            "network_name_servers_of_links_are_one_list_in_order",
            name_servers_of_links_are_one_list_in_order,
        ),
    ]
}

/// A name of the owner's wins for as long as it is there; a change of something else leaves the server's alone.
fn takes_the_name_that_a_dhcp_server_gives(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("dhcp-name", Boot::Kernel)
        .arguments(&[
            "-netdev",
            "user,id=net1,restrict=on,net=10.99.1.0/24,hostname=by-dhcp.example",
            "-device",
            "virtio-net-pci,netdev=net1",
        ])
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    let is_named = |name: &str| {
        let files =
            format!("grep -qx {name} /etc/hostname && grep -q '^127.0.1.1.{name}' /etc/hosts");
        let logged = format!("logger x && grep -q ' {} ' /var/log/syslog", short(name));
        guest.run_until(
            &format!("test $(hostname) = {name} && {files} && {logged}"),
            BOOT_DEADLINE,
        )
    };
    let set = |key: &str, value: &str| {
        guest.run_until("sudo test -S /run/rancher/config.sock", BOOT_DEADLINE)?;
        guest.run(&format!(
            "sudo ros config set {key} {value} && sudo ros config apply"
        ))
    };
    is_named("by-dhcp.example")?;
    let status = guest.run("ros net status")?;
    ensure!(
        status.contains("by-dhcp.example (by DHCP on eth1)"),
        "{status}"
    );
    set("rancher.sysctl.vm.swappiness", "7")?;
    is_named("by-dhcp.example")?;
    set("hostname", "own")?;
    is_named("own")?;
    guest.run("sudo ros service restart network")?;
    guest.run_until("ip -4 -o addr | grep -q 10.99.1.", BOOT_DEADLINE)?;
    is_named("own")?;
    set("hostname", "null")?;
    is_named("by-dhcp.example")?;
    guest.check()
}

/// What the two DHCP servers say, and what is said about one of them, until it is taken back.
fn name_servers_of_links_are_one_list_in_order(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("dns", Boot::Kernel)
        .arguments(&[
            "-netdev",
            "user,id=net1,ipv6=off,net=10.99.1.0/24",
            "-device",
            "virtio-net-pci,netdev=net1",
        ])
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    let is = |servers: &str| {
        let list = r"sed -n 's/^nameserver \(10[.].*\)/\1/p' /etc/resolv.conf | xargs";
        guest.run_until(&format!("test \"$({list})\" = '{servers}'"), BOOT_DEADLINE)
    };
    let set = |interfaces: &str| {
        guest.run_until("sudo test -S /run/rancher/config.sock", BOOT_DEADLINE)?;
        guest.run(&format!(
            "sudo ros config set rancher.network.interfaces '{interfaces}' && sudo ros config apply"
        ))
    };
    is("10.0.2.3 10.99.1.3")?;
    set(
        "{eth0: {dhcp: true}, eth1: {dhcp: true, metric: 5, dns: {nameservers: [10.8.0.1], search: [one.example]}}}",
    )?;
    is("10.8.0.1 10.99.1.3 10.0.2.3")?;
    guest.run("grep -q '^search one.example' /etc/resolv.conf")?;
    set(
        "{eth0: {dhcp: true}, eth1: {dhcp: true, dns: {nameservers: [10.8.0.1], dhcp_nameservers: false}}}",
    )?;
    is("10.8.0.1 10.0.2.3")?;
    guest.run("! grep -q one.example /etc/resolv.conf")?;
    set("null")?;
    is("10.0.2.3 10.99.1.3")?;
    // The service starts again without dhcpcd having been asked anything.
    guest.run("sudo ros service restart network")?;
    is("10.0.2.3 10.99.1.3")?;
    guest.check()
}

/// What rsyslogd writes of a name.
fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[expect(clippy::too_many_lines, reason = "one story")]
fn is_what_user_data_says_and_changes_on_restart(context: &Context) -> anyhow::Result<()> {
    let mut arguments: Vec<String> = Vec::new();
    for card in 1..=4 {
        arguments.extend([
            "-netdev".to_owned(),
            format!("user,id=net{card},restrict=on,net=10.99.{card}.0/24"),
            "-device".to_owned(),
            format!("virtio-net-pci,netdev=net{card},mac=52:54:00:00:01:0{card}"),
        ]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let guest = booted(context, "network-static", USER_DATA, &arguments)?;
    guest.run_until("grep -q post_cmds /var/log/net.log", BOOT_DEADLINE)?;
    prints(
        &guest,
        "cat /var/log/net.log",
        "pre_cmds\npre_up eth0\npost_up eth0\npost_cmds",
    )?;
    prints(
        &guest,
        "ip -4 -o addr show eth0 | awk '{print $4}'",
        "10.0.2.15/24",
    )?;
    prints(
        &guest,
        "ip -o addr show eth1 scope global | awk '{print $4}' | sort",
        "10.9.1.2/24\n10.9.1.3/24\nfd00:9::2/64",
    )?;
    prints(&guest, "cat /sys/class/net/eth1/mtu", "1450")?;
    prints(
        &guest,
        "ip route | grep -c '^default'; ip route get 1.1.1.1 | head -1 | awk '{print $3, $5}'",
        "2\n10.0.2.2 eth0",
    )?;
    guest.run("ip route | grep -q '^default via 10.9.1.1 dev eth1 .*metric 1024' && ip -6 route | grep -q '^default via fd00:9::1 dev eth1'")?;
    guest.run("ip route | grep -q '^192.168.7.0/24 via 10.9.1.9 dev eth1 .*metric 9'")?;
    guest.run("ip -d link show eth1.100 | grep -q 'vlan .*id 100' && ip -d link show named | grep -q 'vlan .*id 200'")?;
    prints(
        &guest,
        "basename $(readlink /sys/class/net/eth1.100/master)",
        "br0",
    )?;
    prints(
        &guest,
        "cat /sys/class/net/bond0/bonding/mode /sys/class/net/bond0/bonding/miimon",
        "active-backup 1\n100",
    )?;
    prints(
        &guest,
        "tr ' ' '\\n' < /sys/class/net/bond0/bonding/slaves | sort | tr '\\n' ' '",
        "eth2 eth3",
    )?;
    guest.run(
        "ip -4 addr show bond0 | grep -q 10.9.3.2/24 && ip -4 addr show br0 | grep -q 10.9.2.1/24",
    )?;
    guest.run("ip link show eth4 | grep -q ',UP' && ! ip -4 addr show eth4 | grep -q inet")?;
    prints(
        &guest,
        "grep -v '^#' /etc/resolv.conf",
        "search lan.example.org example.org\nnameserver 10.0.2.3\nnameserver fd00::53",
    )?;
    let status = guest.run("ros net status")?;
    ensure!(
        status.contains("10.9.1.3/24") && status.contains("lan.example.org"),
        "{status}"
    );
    // What RancherOS did by `ros service restart network`: a change holds, and what is gone from the file goes.
    guest.run("sudo ros config set rancher.network.interfaces.bond0.address 10.9.3.7/24")?;
    guest.run("sudo ros config set rancher.network.interfaces.eth4.address 10.9.4.2/24")?;
    guest.run("sudo ros service restart network")?;
    guest.run_until("ip -4 addr show eth4 | grep -q 10.9.4.2/24 && ip -4 addr show bond0 | grep -q 10.9.3.7/24 && ! ip -4 addr show bond0 | grep -q 10.9.3.2/24", BOOT_DEADLINE)?;
    prints(
        &guest,
        "ip -4 -o addr show eth0 | awk '{print $4}'",
        "10.0.2.15/24",
    )?;
    guest.check()
}
