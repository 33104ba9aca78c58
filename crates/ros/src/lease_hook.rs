//! What dhcpcd runs when something happens to a lease (dhcpcd-run-hooks(8)): notes the name that the server gives the
//! machine, for whoever sets host names, and writes resolv.conf.

use std::env;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use machine_config::lease_names::{DIRECTORY, FILE, LeaseName, host_name};
use netconf::lease::Event;

use crate::resolv_conf::{ResolvConf, replace};

/// Does what the environment says.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let Some(event) = Event::new(|name| env::var(name).ok()) else {
        return Ok(ExitCode::SUCCESS);
    };
    let (directory, resolv_conf) = (Path::new(DIRECTORY), ResolvConf::default());
    // Where the machine's is not mounted, as for the short network of cloud-init, nobody looks into it.
    resolv_conf.make()?;
    if !event.is_skipped("hostname")
        && let Err(error) = note_name(directory, &event)
    {
        // The name servers do not depend on it.
        eprintln!("{error:#}");
    }
    if !event.is_skipped("resolv.conf") {
        resolv_conf.learn(&event)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Notes the name of a lease that began or was extended. A new lease without a name takes back an earlier one's.
fn note_name(directory: &Path, event: &Event) -> anyhow::Result<()> {
    let (Some(learnt), true) = (&event.learnt, event.protocol == "dhcp") else {
        return Ok(());
    };
    let link = &event.link;
    let Some(said) = &event.name else {
        if event.reason == "BOUND" {
            change(directory, |names| names.retain(|known| known.link != *link))?;
        }
        return Ok(());
    };
    let name = host_name(said).with_context(|| {
        format!("{link}: the server's name {said:?} cannot be a host name: it is not taken")
    })?;
    let lease = LeaseName {
        metric: learnt.metric,
        link: link.clone(),
        name,
    };
    change(directory, |names| {
        names.retain(|known| known.link != lease.link);
        names.push(lease);
    })
}

/// Forgets the names of links that do not ask, or whose server may not name the machine.
pub(crate) fn keep_names(is_kept: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let directory = Path::new(DIRECTORY);
    if !directory.is_dir() {
        return Ok(());
    }
    change(directory, |names| {
        names.retain(|known| is_kept(&known.link))
    })
}

/// Changes the file, one program after the other; whoever watches it is told by its new inode.
fn change(directory: &Path, change: impl FnOnce(&mut Vec<LeaseName>)) -> anyhow::Result<()> {
    let _lock = lock(directory)?;
    let before = LeaseName::read(directory);
    let mut names = before.clone();
    change(&mut names);
    names.sort();
    if names == before {
        return Ok(());
    }
    let path = directory.join(FILE);
    replace(&path, LeaseName::text(&names).as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Holds the directory until the file is dropped: the hook and the service network both change what is in it.
pub(crate) fn lock(directory: &Path) -> anyhow::Result<File> {
    let lock = File::open(directory).and_then(|lock| lock.lock().map(|()| lock));
    lock.with_context(|| format!("cannot lock {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One event, as dhcpcd tells it.
    fn event(directory: &Path, text: &str) -> anyhow::Result<()> {
        let event = Event::new(|name| {
            let mut words = text.split(',').filter_map(|word| word.split_once('='));
            words
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
        });
        event.map_or(Ok(()), |event| note_name(directory, &event))
    }

    fn name(directory: &Path) -> Option<String> {
        LeaseName::load(directory).map(|lease| lease.name)
    }

    #[test]
    fn the_name_of_the_best_link_is_noted_until_a_lease_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let eth1 = "interface=eth1,protocol=dhcp,if_configured=true,if_up=true,ifmetric=1003";
        event(
            at,
            "interface=eth1,protocol=link,if_configured=true,if_up=true,new_host_name=no",
        )
        .unwrap();
        event(at, &format!("{eth1},reason=BOUND,new_host_name=second")).unwrap();
        assert_eq!(name(at).as_deref(), Some("second"));
        let eth0 = "interface=eth0,protocol=dhcp,if_configured=true,if_up=true,ifmetric=1002";
        event(
            at,
            &format!("{eth0},reason=BOUND,new_host_name=first.example.org"),
        )
        .unwrap();
        assert_eq!(name(at).as_deref(), Some("first.example.org"));
        event(at, &format!("{eth1},reason=RENEW,new_host_name=other")).unwrap();
        assert_eq!(name(at).as_deref(), Some("first.example.org"));
        // A cable is pulled, a lease is extended without saying it again: it keeps its name.
        event(
            at,
            "interface=eth0,protocol=dhcp,if_configured=true,if_down=true,reason=STOP",
        )
        .unwrap();
        event(at, &format!("{eth0},reason=RENEW")).unwrap();
        assert_eq!(name(at).as_deref(), Some("first.example.org"));
        event(at, &format!("{eth0},reason=BOUND")).unwrap();
        assert_eq!(name(at).as_deref(), Some("other"));
    }

    #[test]
    fn what_is_not_a_name_changes_nothing_and_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let eth0 =
            "interface=eth0,protocol=dhcp,if_configured=true,if_up=true,reason=BOUND,new_host_name";
        event(folder.path(), &format!("{eth0}=good")).unwrap();
        for bad in ["$(reboot)", "a b", "a\nhostname: b", "-x", "a/../b"] {
            let error = event(folder.path(), &format!("{eth0}={bad}")).unwrap_err();
            assert!(
                error.to_string().starts_with("eth0: the server's name"),
                "{error}"
            );
        }
        assert_eq!(name(folder.path()).as_deref(), Some("good"));
    }
}
