//! What the console has made below a place where a file system is mounted later, made on that one again: homes with their keys and
//! accounts, and files of `write_files`. The way in is made first and waits for no disk, and a disk at /home would hide it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{accounts, identity, part, registry_auths, users, write_files};
use crate::machine_config::MachineConfig;

/// Servers answer at the same time, and a file has one writer.
static ONE: Mutex<()> = Mutex::new(());

/// Makes it below `target`, where something was mounted now: a server may answer minutes after the console has started, so the
/// configuration is that of now.
pub(super) fn make(target: &Path) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let config = &MachineConfig::load().loaded.config;
    if users::names(config)
        .iter()
        .any(|name| accounts::user(name).is_ok_and(|user| is_hidden(Path::new(&user.home), target)))
    {
        part("homes", || accounts::make_homes(Path::new("/"), target));
        part("homes", || {
            users::furnish_all(Path::new("/"), config, target)
        });
        part("authorized keys", identity::install_keys_again);
        part("registry_auths", || registry_auths::set_all(config));
    }
    part("write_files", || {
        write_files::write_below(&config.write_files, target)
    });
}

/// Whether a mount at `target` hides a home, or something in it.
fn is_hidden(home: &Path, target: &Path) -> bool {
    home.starts_with(target) || target.starts_with(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_hides_what_is_below_and_changes_what_is_above() {
        let home = Path::new("/home/ada");
        for target in ["/home", "/home/", "/home/ada", "/home/ada/.docker", "/"] {
            assert!(is_hidden(home, Path::new(target)), "{target}");
        }
        for target in ["/home/adam", "/mnt", "/hom"] {
            assert!(!is_hidden(home, Path::new(target)), "{target}");
        }
    }
}
