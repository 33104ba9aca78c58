//! Disk images for clouds and hypervisors: the same disk that `ros install` makes, by the same code.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use duct::cmd;
use install::{
    Event, Guid, History, Layout, Loader, Manifest, Outcome, Partition, Role, Slot, SlotFiles,
    store,
};
use sha2::{Digest as _, Sha256};

use crate::cache;
use crate::iso;
use crate::progress;
use crate::workspace::{Arch, Build, VERSION};

/// Options of `cargo xtask cloud-image`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Form of the image: raw
    format: String,
    /// Size of the disk, in MiB; the file has holes
    #[arg(long, default_value_t = 4096)]
    size: u64,
}

/// The slot of a new disk.
const FIRST: Slot = Slot::A;

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    if options.format != "raw" {
        bail!(
            "format {} is not made yet, only raw; qemu-img converts it",
            options.format
        );
    }
    let _lock = build.lock()?;
    iso::build(build)?;
    let target = build
        .dist()
        .join(format!("rancheros-{VERSION}-{}.raw", build.arch.name()));
    progress::step("cloud-image", || write(build, options.size, &target))?;
    progress::note("cloud-image", &target.display().to_string());
    Ok(())
}

/// What the ISO step has laid out.
struct Medium {
    root: PathBuf,
    manifest: Manifest,
    text: Vec<u8>,
    digest: String,
}

impl Medium {
    fn of(build: &Build) -> Result<Self> {
        let root = build.scratch().join("iso");
        let path = root.join(store::MANIFEST);
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self {
            manifest: Manifest::parse(&text)?,
            digest: Sha256::digest(&text)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            root,
            text,
        })
    }
}

fn write(build: &Build, mebibytes: u64, target: &Path) -> Result<()> {
    let medium = Medium::of(build)?;
    let layout = Layout::plan(mebibytes * install::MIB, 512, build.arch == Arch::X86_64)?;
    let pending = cache::Pending::create(target)?;
    let mut disk = Image(
        File::options()
            .read(true)
            .write(true)
            .open(pending.path())?,
    );
    disk.0
        .set_len(layout.disk_bytes)
        .context("size the image")?;
    // The same image each time: two machines made of it are told apart by what they keep in their state
    let mut number = 0_u8;
    install::write_table(&mut disk, &layout, || {
        number += 1;
        let digest = Sha256::digest(format!("{} {number}", medium.digest));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Guid::random(bytes)
    })?;
    slot(&mut disk, &layout, &medium)?;
    for empty in Slot::ALL.into_iter().filter(|slot| *slot != FIRST) {
        install::clear_slot(
            &mut disk,
            layout.get(Role::Kernel(empty))?,
            layout.sector_bytes,
        )?;
    }
    let code = install::finish(&mut disk, &layout, &loader(build, &medium)?, FIRST)?;
    disk.0
        .write_all_at(&code.unwrap_or([0; install::BOOT_CODE_BYTES]), 0)
        .context("write the boot code")?;
    let folder = store_folder(build, &medium)?;
    file_system(
        build,
        pending.path(),
        layout.get(Role::Os)?,
        Some(&folder),
        &["-m", "0", "-N", "4096"],
    )?;
    file_system(
        build,
        pending.path(),
        layout.get(Role::State)?,
        None,
        &["-i", "8192"],
    )?;
    pending.commit()
}

fn slot(disk: &mut Image, layout: &Layout, medium: &Medium) -> Result<()> {
    let manifest = &medium.manifest;
    let environment = install::environment(
        &manifest.version,
        &medium.digest,
        &manifest.arguments.join(" "),
    )?;
    let open =
        |path: &str| File::open(medium.root.join(path)).with_context(|| format!("open {path}"));
    let (mut kernel, mut initrd) = (open(&manifest.kernel.path)?, open(&manifest.initrd.path)?);
    let files = SlotFiles {
        environment: &environment,
        kernel: (&mut kernel, manifest.kernel.size),
        initrd: (&mut initrd, manifest.initrd.size),
        manifest: &medium.text,
    };
    let partition = layout.get(Role::Kernel(FIRST))?;
    Ok(install::write_slot(
        disk,
        partition,
        layout.sector_bytes,
        files,
    )?)
}

/// GRUB, as the ISO step has built it.
fn loader(build: &Build, medium: &Medium) -> Result<Loader> {
    let folder = build.scratch().join("grub");
    let read = |path: PathBuf| fs::read(&path).with_context(|| format!("read {}", path.display()));
    let (mut bios, mut uefi) = ((None, None), None);
    for item in &medium.manifest.loader {
        match item.path.as_str() {
            install::BOOT_IMAGE => bios.0 = Some(read(medium.root.join("boot/grub/boot.img"))?),
            install::CORE_IMAGE => bios.1 = Some(read(folder.join("core.img"))?),
            name => uefi = Some((name.to_owned(), read(folder.join(name))?)),
        }
    }
    Ok(Loader {
        bios: bios.0.zip(bios.1),
        uefi: uefi.context("the ISO has no loader for UEFI")?,
    })
}

/// Lays the store of layers out in a folder.
fn store_folder(build: &Build, medium: &Medium) -> Result<PathBuf> {
    let folder = build.scratch().join("cloud-image");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    for item in &medium.manifest.files {
        let content = folder.join(store::stored(item));
        if !content.exists() {
            let parent = content.parent().context("a path without a folder")?;
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
            fs::copy(medium.root.join(&item.path), &content)
                .with_context(|| format!("copy {}", item.path))?;
        }
        let link = folder.join(store::linked(FIRST, item));
        let parent = link.parent().context("a path without a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        fs::hard_link(&content, &link).with_context(|| format!("link {}", link.display()))?;
    }
    cache::write(&folder.join(store::manifest(FIRST)), &medium.text)?;
    let mut history = History::default();
    history.add(Event {
        time: build.epoch()?,
        version: medium.manifest.version.clone(),
        digest: medium.digest.clone(),
        slot: FIRST.number(),
        outcome: Outcome::Installed,
        reason: String::new(),
    });
    let text = serde_json::to_vec_pretty(&history).context("write the history")?;
    cache::write(&folder.join(store::HISTORY), &text)?;
    Ok(folder)
}

/// Makes an ext4 in a partition of the image, without mounting anything (mke2fs(8), -d and -E offset).
fn file_system(
    build: &Build,
    image: &Path,
    partition: Partition,
    content: Option<&Path>,
    options: &[&str],
) -> Result<()> {
    let label = partition.role.name();
    let digest = Sha256::digest(label);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    let uuid = Guid::random(bytes).to_string();
    let extended = format!("offset={},root_owner=0:0,hash_seed={uuid}", partition.start);
    let mut arguments: Vec<String> = [
        "-q", "-F", "-t", "ext4", "-L", label, "-U", &uuid, "-E", &extended,
    ]
    .iter()
    .chain(options)
    .map(|word| (*word).to_owned())
    .collect();
    if let Some(folder) = content {
        arguments.extend(["-d".to_owned(), folder.display().to_string()]);
    }
    ensure!(
        partition.size.is_multiple_of(1024),
        "a partition of {} bytes",
        partition.size
    );
    arguments.extend([
        image.display().to_string(),
        format!("{}k", partition.size / 1024),
    ]);
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    cmd("mke2fs", arguments)
        .env("PATH", path)
        .env("E2FSPROGS_FAKE_TIME", build.epoch()?.to_string())
        .run()
        .with_context(|| format!("make the file system {label}"))?;
    Ok(())
}

/// The image file as a disk.
struct Image(File);

impl install::Disk for Image {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
