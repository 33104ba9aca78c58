//! What another machine on a link reaches of both Dockers' containers: published ports, and nothing else.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, shared};
use crate::guest::{BOOT_DEADLINE, Guest};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![shared(
        context,
        "neighbour_reaches_published_ports_only",
        reaches_published_ports_only,
    )]
}

/// A network namespace that plays the machine, 198.51.100.2 on the link `lan`. It sends packets for loopback addresses and for
/// containers to the guest, as an attacker's machine would.
const NEIGHBOUR: &str = "sudo sh -ec '
ip netns add neighbour
ip link add lan type veth peer name lan netns neighbour
ip address add 198.51.100.1/24 dev lan
ip link set lan up
ip netns exec neighbour sh -ec \"
ip address add 198.51.100.2/24 dev lan
ip link set lan up
echo 1 > /proc/sys/net/ipv4/conf/lan/route_localnet
ip route add 127.0.0.0/8 via 198.51.100.1
ip route add 172.16.0.0/12 via 198.51.100.1
\"'";

/// Serves on 80, which is published, and on 81, which is not.
const SERVE: &str =
    "sh -c 'echo page > /tmp/index.html; httpd -p 81 -h /tmp; exec httpd -f -p 80 -h /tmp'";

fn reaches_published_ports_only(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    guest.run_until(
        "sudo iptables -C FORWARD -m mark --mark 0x20000000/0x20000000 -j DROP",
        BOOT_DEADLINE,
    )?;
    guest.run(NEIGHBOUR)?;
    let tried = try_both(guest);
    guest.run("docker rm -f near; docker -H unix:///run/system-docker.sock rm -f near; sudo ip netns delete neighbour")?;
    tried
}

fn try_both(guest: &Guest) -> anyhow::Result<()> {
    guest.run("docker save busybox | system-docker load -q")?;
    let dockers = [
        ("docker", 8090),
        ("docker -H unix:///run/system-docker.sock", 8092),
    ];
    for (docker, port) in dockers {
        let local = port + 1;
        guest.run(&format!(
            "{docker} run -d --name near -p {port}:80 -p 127.0.0.1:{local}:80 busybox {SERVE}"
        ))?;
        let address = guest.run(&format!(
            "{docker} inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' near"
        ))?;
        guest.run_until(
            &format!("wget -qO- http://127.0.0.1:{local}"),
            BOOT_DEADLINE,
        )?;
        guest.run(&format!("wget -qO- http://{address}:81"))?;
        ensure!(
            reaches(guest, &format!("198.51.100.1:{port}"))?,
            "{docker}: a published port"
        );
        for closed in [format!("127.0.0.1:{local}"), format!("{address}:81")] {
            ensure!(
                !reaches(guest, &closed)?,
                "{docker}: a neighbour reaches {closed}"
            );
        }
        if docker == "docker" {
            // What the user wants to be routed is
            let rule = format!("DOCKER-USER -d {address} -j ACCEPT");
            guest.run(&format!("sudo iptables -I {rule}"))?;
            let routed = reaches(guest, &format!("{address}:81"));
            guest.run(&format!("sudo iptables -D {rule}"))?;
            ensure!(routed?, "a rule in DOCKER-USER does not open {address}:81");
        }
    }
    Ok(())
}

/// Whether the neighbour gets the page; a dropped packet shows as silence.
fn reaches(guest: &Guest, to: &str) -> anyhow::Result<bool> {
    let command = format!("sudo ip netns exec neighbour wget -qO- -t 1 -T 5 http://{to}");
    let answer = guest.ssh.answer(&command)?;
    Ok(answer.code == 0)
}
