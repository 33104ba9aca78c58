//! Pull of an image of 200 MB from a registry on the host: `system-docker pull` against `docker pull`.

use super::{guest_with_busybox, row, timed};
use crate::artifacts::Artifacts;
use crate::guest::Guest;
use crate::registry::Registry;

/// Room for the image unpacked, in both engines' state, which is kept in RAM.
const MEMORY_MIB: u32 = 4096;
/// An insecure registry to both engines without a setting.
const IMAGE: &str = "127.0.0.1:5000/bench:latest";

/// Measures both alternately and prints the table's row.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let guest = guest_with_busybox(artifacts, "bench-pull", MEMORY_MIB)?;
    let _registry = serve(artifacts, &guest)?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(once(&guest, "system-docker")?);
        peer.push(once(&guest, "docker")?);
    }
    println!("{}", table_row(&ours, &peer));
    Ok(())
}

/// What both benchmarks with pulls print.
pub(super) fn table_row(ours: &[f64], peer: &[f64]) -> String {
    row("pull of 200 MB in 4 layers", "s", ours, peer)
}

/// Starts the registry and makes it the guest's own port 5000. The guest's kernel forwards: a relay of processes would
/// take more of an emulated machine's time than the pull.
pub(super) fn serve(artifacts: &Artifacts, guest: &Guest) -> anyhow::Result<Registry> {
    let registry = super::registry::start(artifacts.docker_arch())?;
    let port = registry.port;
    guest.run(&format!(
        "echo 1 | sudo tee /proc/sys/net/ipv4/conf/all/route_localnet >/dev/null \
         && sudo iptables -t nat -A OUTPUT -d 127.0.0.1 -p tcp --dport 5000 -j DNAT --to-destination 10.0.2.2:{port} \
         && sudo iptables -t nat -A POSTROUTING -d 10.0.2.2 -p tcp --dport {port} -j MASQUERADE"
    ))?;
    Ok(registry)
}

/// Seconds of one pull; the image is removed again.
pub(super) fn once(guest: &Guest, client: &str) -> anyhow::Result<f64> {
    let seconds = timed(guest, &format!("{client} pull -q {IMAGE} >/dev/null"))?;
    guest.run(&format!("{client} rmi {IMAGE} >/dev/null"))?;
    Ok(seconds)
}
