//! The installation itself. The boot code in the first sector is written last: until then the disk does not start.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use install::{Disk as _, Event, Guid, History, Outcome, Partition, Role, Slot, SlotFiles, store};
use sha2::{Digest as _, Sha256};
use sys::blockdev;
use sys::mount::{self, MountFlags, UnmountFlags};

use super::device::DiskFile;
use super::medium::{Medium, hex};
use super::progress::Progress;
use super::{Plan, copy, kinds};
use crate::os::failure::fail;

/// The slot that a new installation is in.
const FIRST: Slot = Slot::A;
/// udevd looks at every new partition for a moment, in which the kernel does not read the table again.
const PARTITIONS_DEADLINE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Making a file system on a slow disk of some TB.
const FORMAT_DEADLINE: Duration = Duration::from_secs(900);
/// Kernel and initrd are read back whole: 13 MB today.
const LARGEST_FILE_BYTES: usize = 128 << 20;
/// Where the installer's cloud-config goes on the state partition (RancherOS's name).
const CLOUD_CONFIG: &str = "var/lib/rancher/conf/cloud-config.d/user_config.yml";

impl Plan<'_> {
    /// Writes everything.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let node = &self.target.node;
        println!("Installing on {}.", node.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(node)
            .with_context(|| format!("cannot open {}", node.display()))?;
        let mut disk = DiskFile(file);
        self.step(&format!(
            "{} bytes in sectors of {}; kernel parameters: {}",
            self.layout.disk_bytes,
            self.layout.sector_bytes,
            self.arguments()
        ));
        let keep = self.kept_state.is_some();
        install::begin(&mut disk, &self.layout, keep, self.guids()?)?;
        self.step("the partition tables are written; the disk does not start any more");
        reread(&disk.0, node)?;
        self.step("the kernel has the new partitions");
        let manifest = &self.medium.manifest;
        let mut progress =
            Progress::new(manifest.store_bytes() + manifest.kernel.size + manifest.initrd.size);
        self.write_version(&mut disk, &mut progress)?;
        progress.end();
        self.step(&format!("slot {FIRST} is written, read back and whole"));
        for empty in Slot::ALL.into_iter().filter(|slot| *slot != FIRST) {
            let partition = self.layout.get(Role::Kernel(empty))?;
            install::clear_slot(&mut disk, partition, self.layout.sector_bytes)?;
        }
        self.write_state(keep)?;
        self.step("the state partition is ready");
        let code = install::finish(&mut disk, &self.layout, &self.loader, FIRST)?;
        if let Some(code) = code {
            disk.write_at(0, &code)?;
            disk.flush()?;
        }
        self.step("records and boot loader are written: the disk starts");
        Ok(())
    }

    /// GUIDs for the disk and its partitions: random ones, except that a state partition that stays keeps its name.
    fn guids(&self) -> anyhow::Result<impl FnMut() -> Guid> {
        let mut random = random_guid()?;
        let kept = self.kept_state.as_ref().map(|entry| entry.guid);
        let mut partitions = self.layout.partitions.iter();
        let mut is_disk = true;
        Ok(move || {
            if std::mem::take(&mut is_disk) {
                return random();
            }
            let is_state = partitions
                .next()
                .is_some_and(|part| part.role == Role::State);
            kept.filter(|_| is_state).unwrap_or_else(&mut random)
        })
    }

    /// The partition of layers, and the slot.
    fn write_version(&self, disk: &mut DiskFile, progress: &mut Progress) -> anyhow::Result<()> {
        let device = self.partition(Role::Os)?;
        // Few and large files: fewer inodes, no reserve for root
        self.format(&device, Role::Os, &["-m", "0", "-N", "4096"])?;
        self.step(&format!("{} has a file system", device.display()));
        let mounted = Mounted::at(&device, "os")?;
        copy::version(&self.medium, &mounted.0, FIRST, progress)?;
        self.write_slot(disk, &mounted.0, progress)?;
        copy::forget_kernel(&self.medium, &mounted.0)?;
        let mut history = History::default();
        history.add(Event {
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| now.as_secs()),
            version: self.medium.manifest.version.clone(),
            digest: self.medium.digest(),
            slot: FIRST.number(),
            outcome: Outcome::Installed,
            reason: String::new(),
        });
        let text = serde_json::to_vec_pretty(&history).context("cannot write the history")?;
        fs::write(mounted.0.join(store::HISTORY), text).context("cannot write the history")?;
        mounted.end()
    }

    fn write_slot(
        &self,
        disk: &mut DiskFile,
        store: &Path,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let partition = self.layout.get(Role::Kernel(FIRST))?;
        slot(
            disk,
            partition,
            self.layout.sector_bytes,
            (&self.medium, store),
            &self.arguments(),
        )?;
        if !self.medium.is_remote() {
            progress.add(self.medium.manifest.kernel.size + self.medium.manifest.initrd.size);
        }
        Ok(())
    }

    /// The user's partition, with the cloud-config; an earlier one is kept as it is except that file.
    fn write_state(&self, keep: bool) -> anyhow::Result<()> {
        let device = self.partition(Role::State)?;
        if !keep {
            // Containers have many small files
            self.format(&device, Role::State, &["-i", "8192"])?;
        }
        let Some(text) = &self.cloud_config.text else {
            return Ok(());
        };
        let mounted = Mounted::at(&device, "state")?;
        let inside = self.options.statedir.as_deref().map(kinds::inside);
        let inside = inside.transpose()?.unwrap_or_default();
        let path = mounted.0.join(inside).join(CLOUD_CONFIG);
        let folder = path.parent().context("a path without a folder")?;
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        cloud_init::store::write_atomic(&path, text.as_bytes(), 0o600)?;
        mounted.end()
    }

    /// Makes a file system.
    fn format(&self, device: &Path, role: Role, options: &[&str]) -> anyhow::Result<()> {
        let node = device.display().to_string();
        let output = self
            .tools
            .command("mke2fs")?
            .args(["-q", "-F", "-t", "ext4", "-L", role.name()])
            .args(options)
            .args([&node])
            .deadline(FORMAT_DEADLINE)
            .run()
            .context("cannot make a file system")?;
        ensure!(
            output.status.success(),
            "mke2fs {node}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    fn partition(&self, role: Role) -> anyhow::Result<PathBuf> {
        partition(&self.target.node, role)
            .with_context(|| format!("the kernel shows no partition {role}"))
    }
}

/// Writes a slot: kernel and initrd of a medium, or of the store that they were fetched into, read back from the disk
/// afterwards.
pub(crate) fn slot(
    disk: &mut DiskFile,
    partition: Partition,
    sector_bytes: u64,
    (medium, store): (&Medium, &Path),
    arguments: &str,
) -> anyhow::Result<()> {
    fill(disk, partition, sector_bytes, (medium, store), arguments)?;
    // Compares what the disk, not the cache, has
    blockdev::drop_buffers(&disk.0)?;
    verify(disk, partition, medium)
}

/// Writes the slot without reading it back.
pub(super) fn fill(
    disk: &mut DiskFile,
    partition: Partition,
    sector_bytes: u64,
    (medium, store): (&Medium, &Path),
    arguments: &str,
) -> anyhow::Result<()> {
    let manifest = &medium.manifest;
    let environment = install::environment(&manifest.version, &medium.digest(), arguments)?;
    let open = |item| {
        let path = medium.file(item, store);
        File::open(&path).with_context(|| format!("cannot open {}", path.display()))
    };
    let (mut kernel, mut initrd) = (open(&manifest.kernel)?, open(&manifest.initrd)?);
    let files = SlotFiles {
        environment: &environment,
        kernel: (&mut kernel, manifest.kernel.size),
        initrd: (&mut initrd, manifest.initrd.size),
        manifest: &medium.manifest_text,
    };
    Ok(install::write_slot(disk, partition, sector_bytes, files)?)
}

/// The node of a partition of this disk.
pub(crate) fn partition(disk: &Path, role: Role) -> Option<PathBuf> {
    let mut devices = blockdev::list().into_iter();
    let found = devices.find(|device| {
        device.parent.as_deref() == Some(disk)
            && device.partition == Some(role.number())
            && device.partition_name.as_deref() == Some(role.name())
    });
    Some(found?.path)
}

/// Waits until the kernel has the new partitions.
fn reread(file: &File, disk: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + PARTITIONS_DEADLINE;
    loop {
        let read = blockdev::reread_partitions(file);
        let there = |role| partition(disk, role).is_some_and(|node| node.exists());
        if read.is_ok() && there(Role::Os) && there(Role::State) {
            return Ok(());
        }
        if Instant::now() > end {
            read.with_context(|| format!("the partitions of {}", disk.display()))?;
            bail!("the kernel shows no partitions of {}", disk.display());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Compares a slot with the manifest.
pub(super) fn verify(
    disk: &mut DiskFile,
    partition: Partition,
    medium: &Medium,
) -> anyhow::Result<()> {
    let manifest = &medium.manifest;
    for (name, item) in [("VMLINUZ", &manifest.kernel), ("INITRD", &manifest.initrd)] {
        let content = install::fat::read(disk, partition.start, name, LARGEST_FILE_BYTES)?;
        if hex(&Sha256::digest(&content)) != item.sha256 {
            fail!(
                Verification,
                "the disk gives other bytes than were written ({name}): it or the medium is damaged"
            );
        }
    }
    Ok(())
}

/// Random GUIDs, one a call.
pub(crate) fn random_guid() -> anyhow::Result<impl FnMut() -> Guid> {
    let mut source = File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    Ok(move || {
        let mut bytes = [0; 16];
        // It never ends and never fails (urandom(4)); zeros would still be a valid table
        let _ = source.read_exact(&mut bytes);
        Guid::random(bytes)
    })
}

/// A partition that is mounted until this ends.
struct Mounted(PathBuf);

impl Mounted {
    fn at(device: &Path, name: &str) -> anyhow::Result<Self> {
        let target = PathBuf::from(format!("/run/ros-install-{name}-{}", std::process::id()));
        fs::create_dir_all(&target)
            .with_context(|| format!("cannot create {}", target.display()))?;
        mount::mount(
            device,
            &target,
            "ext4",
            MountFlags::NOSUID | MountFlags::NODEV,
            "",
        )?;
        Ok(Self(target))
    }

    /// Unmounts; with it everything is on the disk.
    fn end(self) -> anyhow::Result<()> {
        mount::unmount(&self.0, UnmountFlags::empty()).map_err(anyhow::Error::from)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // After `end` there is nothing mounted, which is an error that says nothing.
        let _ = mount::unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}
