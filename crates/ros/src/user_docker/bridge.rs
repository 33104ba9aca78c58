//! The default bridge once `rancher.docker.bip` has gone: dockerd would take the address that the bridge still has for its own
//! choice, until the next boot.

use std::fs;

use anyhow::{Context as _, ensure};
use sys::netlink::Rtnetlink;

use crate::problems;

/// The `bip` that dockerd was started with, for as long as the bridge lives.
const FILE: &str = "/run/rancher/user-docker.bip";
const BRIDGE: &str = "docker0";
/// Of what is said in `ros status`.
const SUBJECT: &str = "docker-bridge";

/// Takes the bridge away when an earlier dockerd has given it a `bip` and this one, with these arguments, has none: it is made
/// again. dockerd does not run. Where containers use the bridge it stays, and that is said.
pub(super) fn prepare(arguments: &[String]) {
    match forget_address(arguments) {
        Ok(()) => problems::clear(SUBJECT),
        Err(error) => problems::warn(SUBJECT, &format!("{error:#}")),
    }
}

fn forget_address(arguments: &[String]) -> anyhow::Result<()> {
    let earlier = fs::read_to_string(FILE).unwrap_or_default();
    if let Some(bip) = bip(arguments) {
        return fs::write(FILE, bip).context(FILE);
    }
    if earlier.is_empty() {
        return Ok(());
    }
    let mut netlink = Rtnetlink::open()?;
    if let Some(bridge) = netlink.link(BRIDGE)? {
        let links = netlink.links()?;
        ensure!(
            links.iter().all(|link| link.master != Some(bridge.index)),
            "{BRIDGE} keeps the earlier rancher.docker.bip, {earlier}, until its containers have ended and docker is started again"
        );
        netlink.delete_link(BRIDGE)?;
    }
    fs::remove_file(FILE).context(FILE)
}

fn bip(arguments: &[String]) -> Option<&str> {
    arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--bip="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bip_is_found_among_dockerds_arguments() {
        let arguments = ["--debug=true", "--bip=172.29.0.1/24"].map(str::to_owned);
        assert_eq!(bip(&arguments), Some("172.29.0.1/24"));
        assert_eq!(bip(&arguments[..1]), None);
    }
}
