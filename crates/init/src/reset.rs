//! Phase "reset": what `ros reset` has ordered, done before anything uses the state disk.
//!
//! What is forgotten is renamed, which takes no time and either happens or does not; `ros` removes it when the machine runs. The order is
//! taken away last: after a power cut in between the next boot does all of it again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use machine_config::CONF;
use machine_config::preload;
use machine_config::reset::{INSTALLED_WITH, KEPT_OF_CONF, ORDER, Scope, TRASH};

use crate::log;
use crate::machine::Machine;
use crate::state::{EARLY_STATE, Use};
use crate::warnings::warn;

/// The order while it is done, and what the machine was installed with: in the root of the state disk, where nothing is forgotten.
const UNDER_WAY: &str = ".reset-order";
const SAVED: &str = ".reset-installed-with";
/// An order is one word.
const LONGEST_ORDER: u64 = 4 << 10;
/// Names in the root of the state disk that stay: the check's own directory, and room for a boot on a full disk.
const STAY: [&str; 3] = ["lost+found", ".reserve", SAVED];

/// Does what was ordered; an order that cannot be done is said, and costs nothing.
pub(crate) fn if_ordered(machine: Machine) -> anyhow::Result<Machine> {
    let writable = machine
        .state
        .as_ref()
        .is_some_and(|state| state.usable != Use::ReadOnly);
    if !writable {
        return Ok(machine);
    }
    match run(Path::new(EARLY_STATE)) {
        Ok(None) => {}
        Ok(Some(scope)) => log::info(&format!("reset: {} was forgotten", scope.name())),
        Err(error) => warn("reset", &format!("{error:#}")),
    }
    Ok(machine)
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Returns what was done, if anything.
fn run(root: &Path) -> anyhow::Result<Option<Scope>> {
    let order = root.join(UNDER_WAY);
    if fs::symlink_metadata(&order).is_err() {
        match fs::rename(below(root, ORDER), &order) {
            Ok(()) => sys::fs::sync(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot take the order to reset"),
        }
    }
    let text = sys::regular::read(&order, LONGEST_ORDER).unwrap_or_default();
    let scope = str::from_utf8(&text).ok().and_then(Scope::parse);
    let Some(scope) = scope else {
        // Nothing is lost by an order that a power cut has emptied. A directory in its place goes too: it would be said for ever.
        trash(root, &order)?;
        anyhow::bail!("the order to reset cannot be read: nothing was forgotten");
    };
    forget(root, scope).with_context(|| format!("reset {}", scope.name()))?;
    sys::fs::sync();
    remove(&order)?;
    Ok(Some(scope))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn forget(root: &Path, scope: Scope) -> anyhow::Result<()> {
    let conf = below(root, CONF);
    match scope {
        Scope::Everything => everything(root),
        Scope::Configuration => {
            for directory in scope.directories() {
                if *directory != CONF {
                    trash(root, &below(root, directory))?;
                }
            }
            configuration(root, &conf)
        }
        Scope::Containers => {
            for directory in scope.directories() {
                trash(root, &below(root, directory))?;
            }
            forget_preloads(root)
        }
    }
}

/// What was loaded into a Docker that is empty now is to be loaded again; the archives stay.
fn forget_preloads(root: &Path) -> anyhow::Result<()> {
    for directory in [
        preload::OF_MEDIA,
        preload::USER_DOCKER,
        preload::SYSTEM_DOCKER,
    ] {
        for path in entries(&below(root, directory))? {
            if path
                .extension()
                .is_some_and(|end| end == preload::NOTE_ENDING)
            {
                trash(root, &path)?;
            }
        }
    }
    Ok(())
}

/// Entry by entry, except what stays; of a directory that something stays of, its entries.
fn configuration(root: &Path, directory: &Path) -> anyhow::Result<()> {
    let conf = below(root, CONF);
    for path in entries(directory)? {
        let stays = KEPT_OF_CONF.iter().map(|kept| conf.join(kept));
        let (mut kept, mut inside) = (false, false);
        for stay in stays {
            kept |= stay == path;
            inside |= stay != path && stay.starts_with(&path);
        }
        if kept {
            continue;
        }
        if inside && path.is_dir() {
            configuration(root, &path)?;
        } else {
            trash(root, &path)?;
        }
    }
    Ok(())
}

/// All of the disk; what the machine was installed with is put back.
fn everything(root: &Path) -> anyhow::Result<()> {
    let saved = root.join(SAVED);
    let installed_with = below(root, CONF).join(INSTALLED_WITH);
    // After a power cut the copy is what is left.
    if installed_with.is_file() && fs::symlink_metadata(&saved).is_err() {
        fs::rename(&installed_with, &saved).context("cannot save the first configuration")?;
        sys::fs::sync();
    }
    // What has the bin itself comes last, under another name.
    let old = root.join(".reset-var");
    for path in entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if STAY.contains(&&*name) || matches!(&*name, UNDER_WAY | ".reset-var" | "var") {
            continue;
        }
        trash(root, &path)?;
    }
    let var = root.join("var");
    if fs::symlink_metadata(&old).is_err() && fs::symlink_metadata(&var).is_ok() {
        fs::rename(&var, &old).context("cannot move /var")?;
    }
    trash(root, &old)?;
    if fs::symlink_metadata(&saved).is_ok() {
        let parent = installed_with.parent().unwrap_or(root);
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        fs::rename(&saved, &installed_with).context("cannot put the first configuration back")?;
    }
    Ok(())
}

fn entries(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(found) => Ok(found.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot list {}", directory.display())),
    }
}

/// Moves something into the bin, under a free name; what is not there is gone already.
fn trash(root: &Path, path: &Path) -> anyhow::Result<()> {
    let bin = below(root, TRASH);
    fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = (1_u32..)
        .map(|number| bin.join(format!("{number}-{name}")))
        .find(|target| fs::symlink_metadata(target).is_err());
    let Some(target) = target else {
        return Ok(()); // the numbers do not end
    };
    match fs::rename(path, &target) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot move {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    const FILES: &[&str] = &[
        "home/rancher/note",
        "opt/program",
        "lost+found/#1",
        ".reserve/a",
        "etc/docker/daemon.json",
        "var/log/syslog",
        "var/lib/docker/volumes/a/_data/b",
        "var/lib/system-docker/record",
        "var/lib/rancher/preload/media/busybox.tar.done",
        "var/lib/rancher/preload/docker/mine.tar",
        "var/lib/rancher/preload/docker/mine.tar.done",
        "var/lib/rancher/conf/cloud-config.yml",
        "var/lib/rancher/conf/cloud-config.d/user_config.yml",
        "var/lib/rancher/conf/cloud-config.d/other.yml",
        "var/lib/rancher/conf/ssh/ssh_host_ed25519_key",
    ];

    fn disk(scope: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in FILES {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            fs::write(path, *file).expect("written");
        }
        fs::write(below(folder.path(), ORDER), scope).expect("written");
        folder
    }

    fn left(root: &Path) -> Vec<&'static str> {
        let there =
            |file: &&&str| fs::read_to_string(root.join(**file)).is_ok_and(|t| t == ***file);
        FILES.iter().filter(there).copied().collect()
    }

    const CONFIGURATION: [&str; 6] = [
        "etc/docker/daemon.json",
        "var/lib/rancher/preload/media/busybox.tar.done",
        "var/lib/rancher/preload/docker/mine.tar",
        "var/lib/rancher/preload/docker/mine.tar.done",
        "var/lib/rancher/conf/cloud-config.yml",
        "var/lib/rancher/conf/cloud-config.d/other.yml",
    ];
    const CONTAINERS: [&str; 4] = [
        "var/lib/docker/volumes/a/_data/b",
        "var/lib/system-docker/record",
        "var/lib/rancher/preload/media/busybox.tar.done",
        "var/lib/rancher/preload/docker/mine.tar.done",
    ];
    const STAYS: [&str; 3] = [
        "lost+found/#1",
        ".reserve/a",
        "var/lib/rancher/conf/cloud-config.d/user_config.yml",
    ];

    #[test]
    fn each_scope_forgets_its_part_and_nothing_else() {
        let except = |gone: &[&str]| -> Vec<&str> {
            let stays = |file: &&&str| !gone.contains(*file);
            FILES.iter().filter(stays).copied().collect()
        };
        for (scope, wanted) in [
            ("configuration", except(&CONFIGURATION)),
            ("containers\n", except(&CONTAINERS)),
            ("everything", STAYS.to_vec()),
        ] {
            let folder = disk(scope);
            assert_eq!(run(folder.path()).expect("done"), Scope::parse(scope));
            assert_eq!(left(folder.path()), wanted, "{scope}");
            assert_eq!(run(folder.path()).expect("nothing to do"), None);
            // Nothing is removed here.
            let bin = below(folder.path(), TRASH);
            assert!(fs::read_dir(bin).expect("a bin").count() > 0);
        }
    }

    #[test]
    fn an_order_that_cannot_be_read_forgets_nothing() {
        for order in ["", "\0\0\0", "all"] {
            let folder = disk(order);
            assert!(run(folder.path()).is_err());
            assert_eq!(left(folder.path()), FILES);
            assert_eq!(run(folder.path()).expect("nothing to do"), None);
        }
    }

    /// A pipe cost each boot the phase's 60 seconds, and a directory was said at each.
    #[test]
    fn an_order_that_is_not_a_file_is_neither_waited_for_nor_kept() {
        for kind in ["pipe", "directory", "link"] {
            let folder = disk("");
            let order = below(folder.path(), ORDER);
            let parent = order.parent().expect("a parent");
            fs::remove_file(&order).expect("removed");
            match kind {
                "pipe" => {
                    let here = fs::File::open(parent).expect("opened");
                    let (name, kind) = (Path::new("reset-order"), sys::fs::NodeKind::Fifo);
                    sys::fs::make_node(here.as_fd(), name, kind, 0o600, (0, 0)).expect("made");
                }
                "directory" => fs::create_dir_all(order.join("a")).expect("made"),
                _ => std::os::unix::fs::symlink("reset-order", &order).expect("linked"),
            }
            assert!(run(folder.path()).is_err(), "{kind}");
            assert_eq!(left(folder.path()), FILES, "{kind}");
            assert_eq!(run(folder.path()).expect("nothing to do"), None, "{kind}");
        }
    }

    #[test]
    fn a_power_cut_in_between_is_made_up_for() {
        // As after the disk's own directories have moved, and before /var has.
        let folder = disk("everything");
        let root = folder.path();
        fs::rename(below(root, ORDER), root.join(UNDER_WAY)).expect("moved");
        fs::rename(
            root.join("var/lib/rancher/conf/cloud-config.d/user_config.yml"),
            root.join(SAVED),
        )
        .expect("moved");
        trash(root, &root.join("home")).expect("moved");
        assert_eq!(run(root).expect("done"), Some(Scope::Everything));
        assert_eq!(left(root), STAYS);
        // And after it has: the old name is there.
        let folder = disk("everything");
        let root = folder.path();
        fs::rename(below(root, ORDER), root.join(UNDER_WAY)).expect("moved");
        let installed = root.join("var/lib/rancher/conf/cloud-config.d/user_config.yml");
        fs::rename(installed, root.join(SAVED)).expect("moved");
        fs::rename(root.join("var"), root.join(".reset-var")).expect("moved");
        assert_eq!(run(root).expect("done"), Some(Scope::Everything));
        assert_eq!(left(root), STAYS);
        assert!(!root.join(".reset-var").exists());
    }
}
