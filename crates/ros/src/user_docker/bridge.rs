//! The default bridge once `rancher.docker.bip` has gone. dockerd keeps the network in its database and makes the bridge as it
//! was, in this boot and in later ones: it is told its own default for once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use sys::netlink::{Cidr, Rtnetlink};

use crate::problems;

/// The `bip` that dockerd was started with last: next to what else is kept of its last good start.
const FILE: &str = "/var/lib/rancher/docker-good/bip";
/// An address with its prefix is shorter.
const LONGEST_BYTES: u64 = 1 << 10;
const BRIDGE: &str = "docker0";
/// What dockerd gives the bridge where nobody uses these addresses.
const DEFAULT: &str = "172.17.0.1/16";
/// Keys of daemon.json that settle it.
const KEYS: [&str; 2] = ["bip", "bridge"];
/// Of what is said in `ros status`.
const SUBJECT: &str = "docker-bridge";

/// Adds dockerd's own default to its arguments when its last start had a `bip` and this one has none. Where containers use the
/// bridge, or something else has these addresses, it stays as it is, and that is said.
pub(super) fn prepare(arguments: &mut Vec<String>, in_file: &BTreeSet<String>) {
    match forget_address(arguments, in_file) {
        Ok(()) => problems::clear(SUBJECT),
        Err(error) => problems::warn(SUBJECT, &format!("{error:#}")),
    }
}

fn forget_address(arguments: &mut Vec<String>, in_file: &BTreeSet<String>) -> anyhow::Result<()> {
    // What is not a file of ours is as good as none: dockerd gets its default once more.
    let earlier = sys::regular::read(Path::new(FILE), LONGEST_BYTES).unwrap_or_default();
    let earlier = String::from_utf8(earlier).unwrap_or_default();
    match Step::of(&earlier, arguments, in_file) {
        Step::Nothing => return Ok(()),
        Step::Note(bip) => return note(&bip),
        Step::Forget => {}
        Step::Default => {
            can_change(&earlier)?;
            arguments.push(format!("--bip={DEFAULT}"));
        }
    }
    fs::remove_file(FILE).context(FILE)
}

/// What is to be done before dockerd starts.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// This `bip` is new.
    Note(String),
    /// Something else settles the bridge.
    Forget,
    /// dockerd is told its default, and the note goes.
    Default,
}

impl Step {
    fn of(earlier: &str, arguments: &[String], in_file: &BTreeSet<String>) -> Step {
        let is_settled = KEYS.iter().any(|key| in_file.contains(*key))
            || value(arguments, "--bridge=").is_some();
        match value(arguments, "--bip=") {
            Some(bip) if bip != earlier => Step::Note(bip.to_owned()),
            Some(_) => Step::Nothing,
            None if earlier.is_empty() => Step::Nothing,
            None if is_settled => Step::Forget,
            None => Step::Default,
        }
    }
}

fn value<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    arguments
        .iter()
        .find_map(|argument| argument.strip_prefix(flag))
}

fn note(bip: &str) -> anyhow::Result<()> {
    let folder = Path::new(FILE).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // By another name first: a pipe in its place is not waited for.
    Ok(cloud_init::store::write_atomic(
        Path::new(FILE),
        bip.as_bytes(),
        0o644,
    )?)
}

/// # Errors
/// When containers use the bridge, or another link has addresses of dockerd's default.
fn can_change(earlier: &str) -> anyhow::Result<()> {
    let mut netlink = Rtnetlink::open()?;
    let Some(bridge) = netlink.link(BRIDGE)?.map(|link| link.index) else {
        return Ok(());
    };
    let links = netlink.links()?;
    ensure!(
        links.iter().all(|link| link.master != Some(bridge)),
        "{BRIDGE} keeps the earlier rancher.docker.bip, {earlier}, until its containers have ended and docker is started again"
    );
    let default: Cidr = DEFAULT.parse()?;
    let addresses = netlink.addresses()?;
    let taken = addresses.iter().find(|address| {
        address.link != bridge && default.network().contains(address.cidr.address())
    });
    ensure!(
        taken.is_none(),
        "{BRIDGE} keeps the earlier rancher.docker.bip, {earlier}: another link has addresses of {DEFAULT}; set one"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bip_that_was_taken_away_makes_dockerd_take_its_default() {
        let step = |earlier: &str, argument: &str, key: &str| {
            let keys = BTreeSet::from([key.to_owned()]);
            Step::of(earlier, &[argument.to_owned()], &keys)
        };
        let (bip, other) = ("172.29.0.1/24", "--debug=true");
        let given = format!("--bip={bip}");
        assert_eq!(step("", other, "debug"), Step::Nothing);
        assert_eq!(step("", &given, "debug"), Step::Note(bip.to_owned()));
        assert_eq!(
            step("10.0.0.1/24", &given, "debug"),
            Step::Note(bip.to_owned())
        );
        assert_eq!(step(bip, &given, "debug"), Step::Nothing);
        assert_eq!(step(bip, other, "debug"), Step::Default);
        assert_eq!(step(bip, other, "bip"), Step::Forget);
        assert_eq!(step(bip, "--bridge=br0", "debug"), Step::Forget);
    }
}
