//! Phase "check media": e2fsck of the partition of versions when something was wrong with it.
//!
//! The program is on the partition itself, in the console's layers. These are copied to RAM first: only a partition that nobody uses
//! can be repaired.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use install::Role;
use sys::mount::{self, MountFlags, UnmountFlags};

use super::slot::{self, SUBJECT};
use crate::installed::{Installed, STORE};
use crate::log;
use crate::machine::{MEDIA, Machine};
use crate::state::ext4;
use crate::toolbox::{self, Toolbox};
use crate::warnings::warn;

/// The partition has 4 GiB at the most, and few files.
const CHECK_DEADLINE: Duration = Duration::from_secs(60);
/// Exit code 0: nothing to do but to clear the mark of errors; up to 3: repaired (e2fsck(8)).
const CLEAN: i32 = 0;
const REPAIRED: i32 = 3;
/// Where the copy is.
const COPY: &str = "/run/rancher/check";

/// How a check ended that did not fail.
enum Ended {
    Clean,
    /// In e2fsck's words.
    Repaired(String),
}

/// Repairs the partition of versions, if something was wrong with it. A machine whose partition could not be repaired goes on with it,
/// as it did without this phase.
pub(crate) fn check(machine: Machine) -> anyhow::Result<Machine> {
    let Some(installed) = Installed::named_by(&machine.command_line) else {
        return Ok(machine);
    };
    let Some(device) = installed.partition(Role::Os) else {
        return Ok(machine);
    };
    let found = ext4::read(&device);
    let has_errors = found.is_some_and(|found| found.has_errors);
    // A version that is not whole stays so until somebody puts another one on the disk; what e2fsck can do for it is done by then
    let is_checked = found.is_some_and(|found| found.is_checked);
    if !has_errors && (!machine.media_is_damaged || is_checked) {
        return Ok(machine);
    }
    let name = device.display();
    log::warning(&format!("media: {name} has errors: it is checked"));
    let checked = with_copy(&machine, &device);
    if !mount::is_mount_point(MEDIA).unwrap_or(false) {
        // As it was found first; what is there now may be less
        slot::mount(&installed, &machine.command_line, Path::new(MEDIA))?;
    }
    match checked {
        Ok(Ended::Clean) if !has_errors => log::info(&format!(
            "media: {name}: e2fsck has found nothing to repair"
        )),
        Ok(Ended::Clean) => warn(
            SUBJECT,
            &format!(
                "{name} was marked as damaged, and e2fsck has found nothing else; `ros os verify` reads all versions again"
            ),
        ),
        Ok(Ended::Repaired(words)) => warn(
            SUBJECT,
            &format!(
                "{name} was damaged and is repaired ({words}); `ros os verify` reads all versions again"
            ),
        ),
        Err(error) => warn(
            SUBJECT,
            &format!(
                "{name} is damaged and is not repaired: {error:#}; no version can be put on it; `e2fsck -f {name}` from another medium, \
                 or install again with --keep-state"
            ),
        ),
    }
    Ok(machine)
}

/// Checks the partition with programs that are copied off it. Leaves it unmounted, unless it is used.
fn with_copy(machine: &Machine, device: &Path) -> anyhow::Result<Ended> {
    let copy = Copy::new(&Path::new(MEDIA).join("rancheros"))?;
    let mut with_copy = machine.clone();
    with_copy.media = Some(copy.0.clone());
    let toolbox = Toolbox::open(&with_copy)?;
    for target in [MEDIA, STORE] {
        mount::unmount(target, UnmountFlags::empty())?;
    }
    let node = device.to_string_lossy();
    // -f: a file system that calls itself clean may not be
    let checked = toolbox.run("e2fsck", &["-f", "-p", &node], CHECK_DEADLINE)?;
    match checked.code() {
        Some(CLEAN) => Ok(Ended::Clean),
        Some(code) if code <= REPAIRED => Ok(Ended::Repaired(checked.words())),
        _ => bail!("{}", checked.summary()),
    }
}

/// The image with the programs, in RAM until this ends.
struct Copy(PathBuf);

impl Copy {
    fn new(media: &Path) -> anyhow::Result<Copy> {
        let root = PathBuf::from(COPY);
        fs::create_dir_all(&root).with_context(|| format!("cannot create {COPY}"))?;
        mount::mount("tmpfs", &root, "tmpfs", MountFlags::NOSUID, "mode=0700")?;
        let copy = Copy(root);
        let inside = copy.0.join("rancheros");
        for file in images::files_on_media(media, toolbox::IMAGE)? {
            let target = inside.join(&file);
            let parent = target.parent().unwrap_or(&inside);
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
            fs::copy(media.join(&file), &target)
                .with_context(|| format!("cannot copy {}", file.display()))?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Its layers may be mounted for another moment
        let _ = mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}
