//! `rancher.state.directory`: a directory of the partition in place of all of it, for a partition that others use too.

use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, ensure};
use sys::mount::{self, UnmountFlags};

use super::Use;

/// Where the directory is while the file system makes room for it.
const ASIDE: &str = "/run/rancher/state-directory";

/// Puts the directory in the place of the file system that is mounted at `place`; nothing is done without one of them. An
/// error leaves nothing mounted there.
///
/// # Errors
/// A path that leads out of the partition, or a directory that cannot be made.
pub(super) fn enter(
    directory: Option<&str>,
    usable: Option<Use>,
    place: &Path,
) -> anyhow::Result<()> {
    let (Some(directory), Some(usable)) = (directory, usable) else {
        return Ok(());
    };
    let entered = put(directory, usable, place);
    // Not even the whole of it may be seen: below this place are the directories that the machine keeps.
    mount::unmount(place, UnmountFlags::DETACH)?;
    entered.with_context(|| format!("rancher.state.directory: {directory}"))?;
    mount::bind(ASIDE, place, false)?;
    Ok(mount::unmount(ASIDE, UnmountFlags::DETACH)?)
}

fn put(directory: &str, usable: Use, place: &Path) -> anyhow::Result<()> {
    let relative = Path::new(directory.trim_start_matches('/'));
    let is_below = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    ensure!(
        is_below && relative.components().next().is_some(),
        "it is not a directory of the partition"
    );
    let inside = place.join(relative);
    if usable != Use::ReadOnly {
        fs::create_dir_all(&inside).context("cannot create it")?;
    }
    // A link would lead out of the partition, to the same path of this machine.
    let real = fs::canonicalize(&inside).context("cannot open it")?;
    ensure!(
        real.starts_with(fs::canonicalize(place)?),
        "it leads out of the partition"
    );
    fs::create_dir_all(ASIDE).with_context(|| format!("cannot create {ASIDE}"))?;
    Ok(mount::bind(&real, ASIDE, false)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// In a separate mount namespace, with a file system at the path that the closure gets. Needs root.
    fn with_a_file_system(work: impl FnOnce(PathBuf) + Send + 'static) {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("place");
        fs::create_dir(&place).expect("a mount point");
        let thread = std::thread::spawn(move || {
            sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS).expect("a mount namespace");
            let private = mount::Propagation::Private;
            mount::set_propagation("/", private, true).expect("no mount may get out");
            let flags = mount::MountFlags::empty();
            mount::mount("tmpfs", "/run", "tmpfs", flags, "").expect("a separate /run");
            mount::mount("tmpfs", &place, "tmpfs", flags, "").expect("a disk");
            fs::create_dir_all(place.join("there/home")).expect("a directory");
            std::os::unix::fs::symlink("/etc", place.join("link")).expect("a link");
            work(place);
        });
        thread.join().expect("the test's own thread");
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_directory_takes_the_place_of_the_partition() {
        for directory in ["there", "/there/", "new/one"] {
            with_a_file_system(move |place| {
                enter(Some(directory), Some(Use::Whole), &place).expect("entered");
                assert_eq!(place.join("home").is_dir(), directory != "new/one");
                assert!(!place.join("link").exists() && !place.join("there").exists());
                fs::write(place.join("file"), "").expect("written");
                assert!(fs::read_dir(ASIDE).expect("a directory").next().is_none());
            });
        }
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn what_is_no_directory_of_the_partition_is_refused_and_nothing_stays_mounted() {
        for directory in ["", "/", "..", "there/../..", "link"] {
            with_a_file_system(move |place| {
                assert!(enter(Some(directory), Some(Use::Whole), &place).is_err());
                assert!(!place.join("there").exists(), "{directory}");
            });
        }
        with_a_file_system(|place| {
            assert!(enter(Some("new"), Some(Use::ReadOnly), &place).is_err());
        });
        with_a_file_system(|place| {
            enter(None, Some(Use::Whole), &place).expect("nothing to do");
            assert!(place.join("there").exists());
        });
    }
}
