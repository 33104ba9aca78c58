//! Wi-Fi with two cards of the kernel's simulator (mac80211_hwsim): the machine joins with one, and the other is an access point with a
//! DHCP server, in a network namespace that only the air leads to.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

/// The access point's first program waits for its card.
const ACCESS_POINT: &str = "until ip link show wlan1 >/dev/null 2>&1; do sleep 0.1; done; ip addr add 10.77.0.1/24 dev wlan1
cat > /run/hostapd.conf <<EOF
interface=wlan1
driver=nl80211
ssid=R OS \\\"1\\\"
hw_mode=g
channel=1
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase=open sesame
EOF
exec hostapd /run/hostapd.conf";

const DHCP_SERVER: &str = "printf 'interface wlan1\\nstart 10.77.0.50\\nend 10.77.0.50\\noption subnet 255.255.255.0\\n' > /run/udhcpd.conf; exec udhcpd -f /run/udhcpd.conf";

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![alone(
        context,
        "wifi_joins_a_network_and_leaves_it",
        joins_a_network_and_leaves_it,
    )]
}

/// With a wrong passphrase it is said how far it came; wpa_supplicant may end and start again; without its key the card leaves.
fn joins_a_network_and_leaves_it(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("wifi", Boot::Kernel).start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    configure(&guest, "{interfaces: {eth0: {dhcp: true}}}")?;
    let image = context.artifacts.image("wifi")?;
    guest.ssh.send_program(&image, "/tmp/wifi.tar")?;
    guest.run("sudo system-docker load -qi /tmp/wifi.tar && rm /tmp/wifi.tar")?;
    make_access_point(&guest)?;

    let network = |psk: &str| {
        format!(
            "{{interfaces: {{eth0: {{dhcp: true}}, wlan0: {{wifi_network: home}}}}, wifi_networks: {{home: {{ssid: \"R OS \\\"1\\\"\", psk: {psk}}}}}}}"
        )
    };
    configure(&guest, &network("wrong sesame"))?;
    let warned = guest.run_until("ros status | grep 'ros service enable wifi'", BOOT_DEADLINE)?;
    ensure!(warned.contains("wlan0"), "{warned}");
    guest.run("sudo ros service enable wifi && sudo ros service up wifi")?;
    let state = |words: &str| {
        guest.run_until(
            &format!("sudo ros net status | grep -E 'Wi-Fi wlan0: ({words})'"),
            BOOT_DEADLINE,
        )
    };
    guest.run_until(
        "! ros status | grep -q 'ros service enable wifi'",
        BOOT_DEADLINE,
    )?;
    state("SCANNING|4WAY_HANDSHAKE|DISCONNECTED")?;
    guest.run_until(
        "sudo system-docker logs wifi 2>&1 | grep -q 'pre-shared key may be incorrect'",
        BOOT_DEADLINE,
    )?;

    configure(&guest, &network("open sesame"))?;
    let reaches = "ip -4 -o addr show wlan0 | grep -q 10.77.0.50/24 && ping -c 1 -W 2 10.77.0.1";
    state("COMPLETED")?;
    guest.run_until(reaches, BOOT_DEADLINE)?;
    let joined = |count: u32| {
        guest.run_until(&format!("test $(sudo system-docker exec ap iw dev wlan1 station dump | grep -c ^Station) = {count}"), BOOT_DEADLINE)
    };
    joined(1)?;
    guest.run("sudo kill -9 $(sudo system-docker inspect -f '{{.State.Pid}}' wifi)")?;
    guest.run_until(
        &format!(
            "test $(sudo system-docker inspect -f '{{{{.RestartCount}}}}' wifi) = 1 && {reaches}"
        ),
        BOOT_DEADLINE,
    )?;
    state("COMPLETED")?;

    configure(&guest, "{interfaces: {eth0: {dhcp: true}}}")?;
    joined(0)?;
    guest.run("sudo system-docker rm -f ap dhcp && sudo test ! -e /run/rancher/wifi/wlan0.conf")?;
    guest.check()
}

fn configure(guest: &Guest, network: &str) -> anyhow::Result<()> {
    guest.run_until("sudo test -S /run/rancher/config.sock", BOOT_DEADLINE)?;
    guest.run(&format!(
        "sudo ros config set rancher.network '{network}' && sudo ros config apply"
    ))?;
    Ok(())
}

fn make_access_point(guest: &Guest) -> anyhow::Result<()> {
    guest.run("sudo modprobe mac80211_hwsim radios=2")?;
    guest.run_until("ip link show wlan0 && ip link show wlan1", BOOT_DEADLINE)?;
    guest.run("docker save busybox | sudo system-docker load -q")?;
    guest.run(&format!("sudo system-docker run -d --name ap --privileged --network none rancher/os-wifi:1 sh -c \"{ACCESS_POINT}\""))?;
    // The whole card moves, with its link.
    guest.run("sudo system-docker run --rm --privileged --network host --pid host rancher/os-wifi:1 iw phy phy1 set netns $(sudo system-docker inspect -f '{{.State.Pid}}' ap)")?;
    guest.run_until(
        "sudo system-docker logs ap 2>&1 | grep -q AP-ENABLED",
        BOOT_DEADLINE,
    )?;
    guest.run(&format!("sudo system-docker run -d --name dhcp --network container:ap --tmpfs /run busybox sh -c \"{DHCP_SERVER}\""))?;
    Ok(())
}
