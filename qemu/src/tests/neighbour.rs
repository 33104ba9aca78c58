//! What another machine on a link reaches of both Dockers' containers: published ports, and nothing else.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, alone, shared};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "neighbour_reaches_published_ports_only",
            reaches_published_ports_only,
        ),
        alone(
            context,
            "neighbour_reaches_published_ports_while_dockerd_starts",
            while_dockerd_starts,
        ),
    ]
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

/// Once there is an image to serve from, and the rule that keeps neighbours out.
fn add_neighbour(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    let rule = "FORWARD -m mark --mark 0x20000000/0x20000000 -j DROP";
    guest.run_until(&format!("sudo iptables -C {rule}"), BOOT_DEADLINE)?;
    guest.run(NEIGHBOUR)?;
    Ok(())
}

fn reaches_published_ports_only(guest: &Guest) -> anyhow::Result<()> {
    add_neighbour(guest)?;
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

/// Asks for each address in turn, and writes a line of each answer that it gets or, from the published port, does not get.
const CLIENTS: &str = "sudo ip netns exec neighbour sh -c '
ask() { wget -qO- -t 1 -T $1 http://$2 >/dev/null 2>&1; }
while ! test -e /tmp/stop; do ask 20 198.51.100.1:8090 && echo answered || echo lost; done >/tmp/open &
while ! test -e /tmp/stop; do for to in LOCAL ROUTED; do ask 1 $to && echo reached $to; done; echo round; done >/tmp/closed &
wait'";

/// New connections are answered all the time, whatever way dockerd ended, and what is closed stays so.
fn while_dockerd_starts(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("ports", Boot::Kernel)
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    add_neighbour(&guest)?;
    guest.run(&format!(
        "docker run -d --name near -p 8090:80 -p 127.0.0.1:8091:80 busybox {SERVE}"
    ))?;
    guest.run("docker run -d --name ends -p 8094:80 busybox sleep 1000000")?;
    let address = guest
        .run("docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' near")?;
    guest.run_until("wget -qO- http://127.0.0.1:8091", BOOT_DEADLINE)?;
    let clients = CLIENTS
        .replace("LOCAL", "127.0.0.1:8091")
        .replace("ROUTED", &format!("{address}:81"));
    guest.run(&format!("{clients} </dev/null >/tmp/clients.log 2>&1 &"))?;
    guest.run_until(
        "grep -q answered /tmp/open && grep -q round /tmp/closed || ! cat /tmp/clients.log",
        BOOT_DEADLINE,
    )?;
    let since = guest.run("docker inspect -f '{{.State.StartedAt}}' near")?;

    guest.run("system-docker restart docker")?;
    settled(&guest)?;
    // It ends unasked; its service starts it again
    guest.run(&format!("sudo kill -9 $(pidof dockerd); {KEPT}"))?;
    settled(&guest)?;
    // A container that ends meanwhile loses its port, and is not in the way of the others
    let ends = guest.run("docker inspect -f '{{.State.Pid}}' ends")?;
    guest.run("system-docker stop docker")?;
    guest.run(&format!("sudo kill -9 {ends}"))?;
    let rules = guest.run(&format!("system-docker start docker >&2 & {KEPT}"))?;
    ensure!(
        rules.contains("--dport 8090") && !rules.contains("--dport 8094"),
        "kept while dockerd starts:\n{rules}"
    );
    settled(&guest)?;
    answers(&guest)?;
    ensure!(
        guest.run("docker inspect -f '{{.State.StartedAt}}' near")? == since,
        "the container was started again"
    );
    guest.check()
}

/// Ends the clients and counts what they got.
fn answers(guest: &Guest) -> anyhow::Result<()> {
    guest.run("touch /tmp/stop")?;
    guest.run_until("! sudo ip netns pids neighbour | grep -q .", BOOT_DEADLINE)?;
    let count = |pattern: &str, file: &str| -> anyhow::Result<u32> {
        let text = guest.run(&format!("grep -c {pattern} {file} || true"))?;
        Ok(text.parse()?)
    };
    let (lost, answered) = (count("lost", "/tmp/open")?, count("answered", "/tmp/open")?);
    eprintln!("{lost} requests lost, {answered} answered");
    ensure!(
        lost == 0 && answered > 20,
        "{lost} requests to a published port were lost, {answered} answered"
    );
    let (reached, rounds) = (
        count("reached", "/tmp/closed")?,
        count("round", "/tmp/closed")?,
    );
    ensure!(
        reached == 0 && rounds > 5,
        "a neighbour got {reached} answers in {rounds} rounds: {}",
        guest.run("grep reached /tmp/closed | sort | uniq -c")?
    );
    Ok(())
}

/// The rules that are kept while dockerd starts, as soon as there are any.
const KEPT: &str = "until sudo iptables -t nat -S RANCHER-PORTS 2>/dev/null; do sleep 0.05; done";

/// dockerd answers and has its own rules, and nothing is kept any more.
fn settled(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until(
        "docker ps >/dev/null && sudo iptables -t nat -S DOCKER | grep -q 'dport 8090' && ! sudo iptables-save | grep -q RANCHER-PORTS",
        BOOT_DEADLINE,
    )?;
    guest
        .run("sudo iptables -C DOCKER -j MARK --set-xmark 0x20000000/0x20000000")
        .map(drop)
}
