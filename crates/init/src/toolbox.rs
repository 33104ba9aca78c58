//! Programs that PID 1 needs before any container runs (e2fsck, mke2fs, a rescue shell): run in
//! the root of a system image that is mounted read-only straight from the media.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sys::mount::{self, Attributes, MountFlags, Propagation, UnmountFlags};
use sys::process::{Command, Output};

use crate::machine::Machine;

/// The image that has most of them.
pub(crate) const IMAGE: &str = "rancher/os-console";
const MOUNT_POINT: &str = "/run/rancher/toolbox";

/// The image for disks inside of others: cryptsetup, lvm, mdadm.
const STORAGE_IMAGE: &str = "rancher/os-storage";
const STORAGE_MOUNT_POINT: &str = "/run/rancher/storage-toolbox";

/// Where the programs are in each image.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// How many characters of a tool's own words a log line repeats.
const QUOTED: usize = 300;

/// A mounted root with tools in it; unmounted when dropped.
pub(crate) struct Toolbox {
    root: PathBuf,
    image: &'static str,
}

/// How a tool ended.
pub(crate) struct Finished(Output);

impl Toolbox {
    /// Mounts the image from the media.
    ///
    /// # Errors
    /// When the media has no such image or a layer of it is damaged.
    pub(crate) fn open(machine: &Machine) -> anyhow::Result<Toolbox> {
        Self::mount(machine, IMAGE, MOUNT_POINT)
    }

    /// As [`Toolbox::open`], with the programs for LUKS, LVM and md.
    pub(crate) fn open_storage(machine: &Machine) -> anyhow::Result<Toolbox> {
        Self::mount(machine, STORAGE_IMAGE, STORAGE_MOUNT_POINT)
    }

    fn mount(machine: &Machine, image: &'static str, target: &str) -> anyhow::Result<Toolbox> {
        let media = machine
            .media
            .as_deref()
            .context("no media")?
            .join("rancheros");
        let root = PathBuf::from(target);
        fs::create_dir_all(&root).with_context(|| format!("cannot create {target}"))?;
        images::mount_from_media(&media, image, &root)?;
        let toolbox = Toolbox { root, image };
        for name in ["dev", "proc", "sys"] {
            lend(&Path::new("/").join(name), &toolbox.root.join(name))?;
        }
        mount::mount(
            "tmpfs",
            toolbox.root.join("run"),
            "tmpfs",
            MountFlags::NOSUID,
            "mode=0755",
        )?;
        Ok(toolbox)
    }

    /// The root directory, for a shell in it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Shows what is mounted at `path`, below /run, at the same path to the tools.
    pub(crate) fn show(&self, path: &Path) -> anyhow::Result<()> {
        let target = self.root.join(path.strip_prefix("/").unwrap_or(path));
        fs::create_dir_all(&target)
            .with_context(|| format!("cannot create {}", target.display()))?;
        lend(path, &target)
    }

    /// Runs one tool to its end.
    pub(crate) fn run(
        &self,
        program: &str,
        arguments: &[&str],
        deadline: Duration,
    ) -> anyhow::Result<Finished> {
        Ok(Finished(self.command(program, arguments, deadline)?.run()?))
    }

    /// As [`Toolbox::run`] for a tool that reads `input`.
    pub(crate) fn run_with(
        &self,
        program: &str,
        arguments: &[&str],
        input: Vec<u8>,
        deadline: Duration,
    ) -> anyhow::Result<Finished> {
        let command = self.command(program, arguments, deadline)?.stdin(input);
        Ok(Finished(command.run()?))
    }

    /// As [`Toolbox::run`] for a tool that talks with whoever is at the machine's console.
    pub(crate) fn run_on_console(
        &self,
        program: &str,
        arguments: &[&str],
        deadline: Duration,
    ) -> anyhow::Result<Finished> {
        let command = self.command(program, arguments, deadline)?;
        Ok(Finished(command.terminal("/dev/console").run()?))
    }

    fn command(
        &self,
        program: &str,
        arguments: &[&str],
        deadline: Duration,
    ) -> anyhow::Result<Command> {
        Ok(Command::new(self.locate(program)?)
            .args(arguments)
            .env("PATH", PATH)
            // libdevmapper makes the nodes in /dev/mapper itself: no udev runs yet that would (dm_udev_get_sync_support).
            .env("DM_DISABLE_UDEV", "1")
            .root(&self.root)
            .deadline(deadline))
    }

    fn locate(&self, program: &str) -> anyhow::Result<String> {
        PATH.split(':')
            .map(|directory| format!("{directory}/{program}"))
            .find(|candidate| self.root.join(&candidate[1..]).exists())
            .with_context(|| format!("{} has no {program}", self.image))
    }
}

/// Shows `source` and what is mounted below it at `target`, as private mounts.
///
/// A plain recursive bind of shared mounts makes peers: unmounting it would unmount /dev/pts, /sys/fs/cgroup and the rest
/// of the machine's own (mount_namespaces(7), "propagation of unmounts"). Private before anybody can see it, so that no
/// failure in between leaves a peer behind.
fn lend(source: &Path, target: &Path) -> anyhow::Result<()> {
    let tree = mount::open_tree_clone(source)?;
    let private = Attributes::propagation(Propagation::Private);
    mount::set_attributes_fd(tree.as_fd(), private, true)?;
    mount::move_mount_fd(&tree, target)?;
    Ok(())
}

impl Drop for Toolbox {
    fn drop(&mut self) {
        for name in ["run", "sys", "proc", "dev", ""] {
            // Detached: a mount that is still used goes when its last user ends.
            let _ = mount::unmount(self.root.join(name), UnmountFlags::DETACH);
        }
    }
}

impl Finished {
    /// A tool's end, made by a test.
    #[cfg(test)]
    pub(crate) fn of(output: Output) -> Finished {
        Finished(output)
    }

    /// The exit code, or none when a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// How it ended and the last of what it said.
    pub(crate) fn summary(&self) -> String {
        format!("{}: {}", self.0.status, self.words())
    }

    /// All that it said, up to so many bytes: for a file.
    pub(crate) fn text(&self, limit: usize) -> String {
        let mut text = String::from_utf8_lossy(&self.0.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&self.0.stderr));
        let end = text.floor_char_boundary(limit);
        text.truncate(end);
        text
    }

    /// The last of what it said.
    pub(crate) fn words(&self) -> String {
        let mut words = String::from_utf8_lossy(&self.0.stderr).trim().to_owned();
        words.push_str(String::from_utf8_lossy(&self.0.stdout).trim());
        let skipped = words.chars().count().saturating_sub(QUOTED);
        words.chars().skip(skipped).collect()
    }

    /// # Errors
    /// When it ended with anything but 0.
    pub(crate) fn success(&self, program: &str) -> anyhow::Result<()> {
        if self.code() == Some(0) {
            return Ok(());
        }
        bail!("{program}: {}", self.summary())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// In a mount namespace that only this thread is in.
    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn what_is_lent_stays_mounted_where_it_came_from() {
        sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS).expect("a mount namespace");
        mount::set_propagation("/", Propagation::Private, true).expect("no mount may get out");
        let folder = tempfile::tempdir().expect("a folder");
        let tmpfs = |path: &Path| {
            fs::create_dir_all(path).expect("a mount point");
            mount::mount("tmpfs", path, "tmpfs", MountFlags::NOSUID, "").expect("a tmpfs");
            mount::set_propagation(path, Propagation::Shared, false).expect("shared");
        };
        let (dev, tools) = (folder.path().join("dev"), folder.path().join("tools"));
        tmpfs(&dev);
        tmpfs(&dev.join("pts"));
        tmpfs(&tools);
        let lent = tools.join("dev");
        fs::create_dir(&lent).expect("a mount point");
        lend(&dev, &lent).expect("lent");
        // Not mountinfo: /proc/self is the process's first thread, whose mounts are others.
        let device = |path: &Path| fs::metadata(path).expect("a directory").dev();
        let mounted = |path: &Path| device(path) != device(path.parent().expect("a parent"));
        assert!(mounted(&lent.join("pts")), "nothing below is lent");
        mount::unmount(&lent, UnmountFlags::DETACH).expect("unmounted");
        assert!(mounted(&dev.join("pts")), "the machine's own went, too");
        for path in [tools, dev] {
            mount::unmount(path, UnmountFlags::DETACH).expect("unmounted");
        }
    }
}
