//! Changes that cut the machine off, or might: each holds while it waits for its confirmation, and is gone afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, long};
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        long(
            context,
            "config_apply_takes_back_what_cuts_the_machine_off",
            takes_back,
        ),
        long(
            context,
            "config_apply_is_taken_back_by_a_power_cut",
            is_taken_back_by_a_power_cut,
        ),
    ]
}

/// Longest wait for a machine whose change is taken back: the time to confirm, restarts, and DHCP.
const BACK: Duration = Duration::from_secs(180);

/// A change, what tells that it holds, and what tells that the machine is as it was.
struct Class {
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
    holds: &'static str,
    back: &'static str,
}

/// Classes whose change ends the shell on the serial port: the console starts from its image again.
const OF_THE_CONSOLE: &[&str] = &["sshd", "user"];

const CLASSES: &[Class] = &[
    Class {
        name: "address",
        settings: &[("rancher.network.interfaces.eth0.address", "192.168.77.5/24")],
        holds: "ip -4 -o addr show eth0 | grep -q 192.168.77.5 && ! ip -4 -o addr show eth0 | grep -q 10.0.2.15",
        back: "ip -4 -o addr show eth0 | grep -q 10.0.2.15/24 && ! ip -4 -o addr show eth0 | grep -q 192.168.77",
    },
    Class {
        name: "gateway",
        settings: &[(
            "rancher.network.interfaces.eth0",
            "{address: 10.0.2.15/24, gateway: 10.0.2.99}",
        )],
        holds: "test \"$(ip route show default | awk '{print $3}')\" = 10.0.2.99",
        back: "test \"$(ip route show default | awk '{print $3}')\" = 10.0.2.2",
    },
    Class {
        name: "dns",
        settings: &[("rancher.network.dns.nameservers", "[192.0.2.1]")],
        holds: "grep -q 192.0.2.1 /etc/resolv.conf",
        back: "grep -q '^nameserver 10.0.2.3' /etc/resolv.conf && ! grep -q 192.0.2.1 /etc/resolv.conf",
    },
    Class {
        name: "mtu",
        settings: &[("rancher.network.interfaces.eth0", "{dhcp: true, mtu: 70}")],
        holds: "grep -qx 70 /sys/class/net/eth0/mtu",
        back: "grep -qx 1500 /sys/class/net/eth0/mtu",
    },
    Class {
        name: "bond",
        settings: &[(
            "rancher.network.interfaces",
            "{bond0: {address: 192.168.77.6/24, bond_opts: {mode: active-backup}}, eth0: {bond: bond0}}",
        )],
        holds: "grep -q eth0 /sys/class/net/bond0/bonding/slaves",
        back: "test ! -e /sys/class/net/eth0/master && ! ip -4 -o addr show | grep -q 192.168.77",
    },
    Class {
        name: "bridge",
        settings: &[(
            "rancher.network.interfaces",
            "{br0: {bridge: true, address: 192.168.77.7/24}, eth0: {bridge: br0}}",
        )],
        holds: "test $(basename $(readlink /sys/class/net/eth0/master)) = br0",
        back: "test ! -e /sys/class/net/eth0/master && test ! -e /sys/class/net/br0",
    },
    Class {
        name: "vlan",
        settings: &[(
            "rancher.network.interfaces",
            "{eth0: {vlans: '7'}, eth0.7: {address: 192.168.77.8/24}}",
        )],
        holds: "ip -4 -o addr show eth0.7 | grep -q 192.168.77.8 && ! ip -4 -o addr show eth0 | grep -q 10.0.2.15",
        back: "test ! -e /sys/class/net/eth0.7",
    },
    Class {
        name: "firewall-rule",
        settings: &[(
            "rancher.network.post_cmds",
            "[iptables -I INPUT -p tcp --dport 22 -j DROP]",
        )],
        holds: "sudo iptables -C INPUT -p tcp --dport 22 -j DROP 2>/dev/null",
        back: "! sudo iptables -S INPUT | grep -q 'dport 22 '",
    },
    Class {
        name: "firewall-policy",
        settings: &[(
            "rancher.network.pre_cmds",
            "[[iptables, -P, INPUT, DROP], [ip6tables, -P, INPUT, DROP]]",
        )],
        holds: "sudo iptables -S INPUT | grep -qx -e '-P INPUT DROP'",
        back: "sudo iptables -S INPUT | grep -qx -e '-P INPUT ACCEPT' && sudo ip6tables -S INPUT | grep -qx -e '-P INPUT ACCEPT'",
    },
    // What others had put there is back, too.
    Class {
        name: "firewall-flush",
        settings: &[(
            "rancher.network.interfaces.eth0",
            "{dhcp: true, post_up: [iptables -P INPUT DROP; iptables -F INPUT]}",
        )],
        holds: "test \"$(sudo iptables -S INPUT)\" = '-P INPUT DROP'",
        back: "sudo iptables -S INPUT | grep -qx -e '-P INPUT ACCEPT' && sudo iptables -C INPUT -p udp --dport 9 -j ACCEPT",
    },
    Class {
        name: "sysctl",
        settings: &[("rancher.sysctl.net.ipv4.icmp_echo_ignore_all", "1")],
        holds: "grep -qx 1 /proc/sys/net/ipv4/icmp_echo_ignore_all",
        back: "grep -qx 0 /proc/sys/net/ipv4/icmp_echo_ignore_all",
    },
    Class {
        name: "dockerd",
        settings: &[("rancher.docker.bip", "172.29.0.1/24")],
        holds: "ip -4 -o addr show docker0 | grep -q 172.29.0.1",
        back: "ip -4 -o addr show docker0 | grep -q 172.17.0.1 && docker info >/dev/null",
    },
    Class {
        name: "sshd",
        settings: &[("rancher.ssh.port", "2222")],
        holds: "ss -ltn | grep -q ':2222 '",
        back: "ss -ltn | grep -q ':22 ' && ! ss -ltn | grep -q ':2222 '",
    },
    Class {
        name: "user",
        settings: &[
            ("users", "[{name: eve, sudo: \"ALL=(ALL) NOPASSWD:ALL\"}]"),
            ("rancher.password", "secret"),
        ],
        holds: "sudo -u eve sudo -n true && sudo grep -q '^rancher:[$]' /etc/shadow",
        back: "! id eve 2>/dev/null && ! sudo grep -rq eve /etc/sudoers.d && sudo grep -q '^rancher:[*]:' /etc/shadow",
    },
    Class {
        name: "services",
        settings: &[("rancher.services.syslog.command", "sleep 100000")],
        holds: "system-docker inspect -f '{{json .Config.Cmd}}' syslog | grep -q 100000",
        back: "system-docker inspect -f '{{json .Config.Cmd}}' syslog | grep -q rsyslogd && system-docker inspect -f '{{.State.Running}}' syslog | grep -q true",
    },
];

fn booted(context: &Context, name: &str) -> anyhow::Result<Guest> {
    let guest = Machine::new(name, Boot::Kernel)
        .memory_mib(1536)
        .parameters("rancher.autologin=ttyS0")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    guest.run_until("sudo test -S /run/rancher/config.sock", BOOT_DEADLINE)?;
    Ok(guest)
}

fn takes_back(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "config-cut-off")?;
    // A rule by hand, which a change takes away.
    guest.run("sudo iptables -A INPUT -p udp --dport 9 -j ACCEPT")?;
    for class in CLASSES {
        take_back(&guest, class).with_context(|| class.name)?;
    }
    guest.check()
}

/// The power goes while a change waits for its confirmation.
fn is_taken_back_by_a_power_cut(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let start = |name| {
        let guest = Machine::new(name, Boot::Kernel)
            .memory_mib(1536)
            .state_disk(&disk.path)
            .start(&context.artifacts)?;
        guest.wait_ready()?;
        guest.wait_docker()?;
        anyhow::Ok(guest)
    };
    let changed = "grep -qx 1 /proc/sys/net/ipv4/icmp_echo_ignore_all && test $(hostname) = changed && docker info | grep -q 'Logging Driver: local'";
    let before = "grep -qx 0 /proc/sys/net/ipv4/icmp_echo_ignore_all && test $(hostname) != changed && docker info | grep -q 'Logging Driver: json-file'";
    let guest = start("config-power-cut")?;
    guest.run("sudo ros config set rancher.sysctl.net.ipv4.icmp_echo_ignore_all 1 && sudo ros config set hostname changed && sudo ros config set rancher.docker.log_driver local")?;
    guest.run("sudo sh -c 'setsid ros config apply --confirm=600s >/run/apply.log 2>&1 &'")?;
    guest.run_until(changed, BACK)?;
    drop(guest);
    let guest = start("config-power-came")?;
    guest.run_until(before, BACK)?;
    guest.run("! sudo ros config get hostname | grep changed")?;
    let problems = guest.run("sudo ros status --problems; true")?;
    ensure!(
        problems.contains("was not confirmed before the machine stopped"),
        "nothing is said: {problems}"
    );
    guest.check()
}

/// The serial port is the only way in that no change cuts off, though its shell ends with the console.
fn take_back(guest: &Guest, class: &Class) -> anyhow::Result<()> {
    for (key, value) in class.settings {
        guest.run(&format!("sudo ros config set {key} '{value}'"))?;
    }
    // The words are put together by the shell: the echo of what is typed does not have them.
    let holds = format!(
        "until {}; do sleep 1; done; echo holds-{}-$((40 + 2))",
        class.holds, class.name
    );
    let apply = "sudo ros config apply --confirm=20s";
    let mark = guest.console.mark();
    let wait = |words: &str| guest.console.wait_after(mark, words, BACK);
    if OF_THE_CONSOLE.contains(&class.name) {
        guest.console.type_line(apply)?;
        wait("console was restarted")?;
        wait(PROMPT)?;
        guest.console.type_line(&holds)?;
    } else {
        // One line: a second one would be read by the command, or cut in two by the prompt.
        guest.console.type_line(&format!("{apply}; {holds}"))?;
    }
    wait(&format!("holds-{}-42", class.name))?;
    wait("is taken back: it was not confirmed")?;
    let taken = Instant::now();
    guest.run_until(class.back, BACK)?;
    println!(
        "{}: back after {:.1} s",
        class.name,
        taken.elapsed().as_secs_f64()
    );
    wait("the earlier configuration is back")?;
    let problems = guest.run_until("sudo ros status --problems", BACK)?;
    ensure!(
        !problems.contains("after the change was taken back"),
        "{problems}"
    );
    let again = guest.run("sudo ros config apply --dry-run")?;
    ensure!(again.starts_with("nothing to apply"), "{again}");
    Ok(())
}
