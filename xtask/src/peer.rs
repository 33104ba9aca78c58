//! Builds the system that benchmarks compare with: the smallest Debian 13 with systemd and docker.io, under our kernel.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use duct::cmd;

use crate::cache::{self, Inputs};
use crate::setup::{self, Purpose};
use crate::workspace::Build;
use crate::{debian, kernel, progress};

/// What a Debian machine needs to boot into a Docker that works; Recommends never.
const PACKAGES: &str =
    "systemd-sysv,udev,dbus,kmod,iproute2,iptables,ca-certificates,docker.io,docker-cli";

/// Says on the console when Docker answers, and 15 s later how much RAM is used (crate qemu-test, bench/boot.rs).
const UNIT: &str = r#"[Unit]
Description=Measure the boot
After=docker.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'until docker version >/dev/null 2>&1; do sleep 0.2; done; echo "user docker answers" >/dev/kmsg'
ExecStart=/bin/sleep 15
ExecStart=/bin/sh -c 'awk "/^MemTotal/ {t=\\$2} /^MemAvailable/ {print \\"ram-used-kib\\", t-\\$2}" /proc/meminfo >/dev/kmsg'

[Install]
WantedBy=multi-user.target
"#;

/// With `peer.upgrade` on the kernel's command line: what an upgrade of Docker is on Debian, from packages on its disk (crate
/// qemu-test, bench/upgrade.rs). Once: the boot that follows has the same command line.
const UPGRADE_UNIT: &str = r#"[Unit]
Description=Upgrade Docker and reboot
After=measure.service
ConditionKernelCommandLine=peer.upgrade
ConditionPathExists=!/var/lib/peer-upgraded

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "peer: upgrade begins" >/dev/kmsg; dpkg -i /var/cache/upgrade/*.deb && touch /var/lib/peer-upgraded && systemctl --no-block reboot'

[Install]
WantedBy=multi-user.target
"#;
/// The packages of such an upgrade.
const UPGRADED: &str = "docker.io docker-cli containerd runc";

/// Size of its disk, with room for what it writes while it runs.
const DISK: &str = "2G";

/// Raised when the recipe below changes.
const RECIPE: &str = "2";

/// Builds `dist/peer-ARCH.tar` and the disk `dist/peer-ARCH.ext4` unless they are there.
pub(crate) fn ensure(build: &Build) -> Result<()> {
    let _lock = build.lock()?;
    setup::ensure(build, &[Purpose::Peer])?;
    let kernel = kernel::ensure(build)?;
    let disk = build
        .dist()
        .join(format!("peer-{}.ext4", build.arch.name()));
    let archive = disk.with_extension("tar");
    let mut inputs = Inputs::new("peer");
    inputs
        .text("recipe", RECIPE)
        .text("packages", PACKAGES)
        .text("unit", UNIT)
        .text("upgrade", UPGRADE_UNIT)
        .text("upgraded", UPGRADED)
        .text("kernel", &kernel.key);
    let key = inputs.key();
    progress::step("debian peer", || {
        if cache::is_done(build, "peer", &key, &[disk.clone(), archive.clone()]) {
            return Ok(());
        }
        install(build, &kernel.modules(), &archive)?;
        format(build, &archive, &disk)?;
        cache::mark_done(build, "peer", &key)
    })
}

/// Installs Debian into an archive.
fn install(build: &Build, modules: &Path, archive: &Path) -> Result<()> {
    let unit = build.scratch().join("measure.service");
    cache::write(&unit, UNIT.as_bytes())?;
    let upgrade = build.scratch().join("upgrade.service");
    cache::write(&upgrade, UPGRADE_UNIT.as_bytes())?;
    let (unit, upgrade, modules) = (unit.display(), upgrade.display(), modules.display());
    cmd!(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        format!("--architectures={}", build.arch.debian()),
        format!("--include={PACKAGES}"),
        "--customize-hook=mkdir -p \"$1/usr/lib/modules\"",
        format!("--customize-hook=sync-in {modules} /usr/lib/modules"),
        format!("--customize-hook=upload {unit} /etc/systemd/system/measure.service"),
        format!("--customize-hook=upload {upgrade} /etc/systemd/system/upgrade.service"),
        "--customize-hook=chroot \"$1\" systemctl enable measure.service upgrade.service",
        "--customize-hook=mkdir -p \"$1/var/cache/upgrade\"",
        format!(
            "--customize-hook=chroot \"$1\" sh -c 'cd /var/cache/upgrade && apt-get download {UPGRADED}'"
        ),
        "--customize-hook=chroot \"$1\" apt-get clean",
        debian::SUITE,
        archive,
        debian::source_line()?
    )
    .run()
    .context("install Debian with mmdebstrap")?;
    Ok(())
}

/// Makes a disk of the archive; fakeroot remembers owners between the two steps, since nobody here need be root.
fn format(build: &Build, archive: &Path, disk: &Path) -> Result<()> {
    let root = build.scratch().join("peer");
    let owners = build.scratch().join("peer.owners");
    // What an interrupted run left
    fs::remove_dir_all(&root).ok();
    fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
    cmd!(
        "fakeroot", "-s", &owners, "tar", "-xf", archive, "-C", &root
    )
    .run()
    .context("unpack the peer")?;
    fs::remove_file(disk).ok();
    cmd!(
        "fakeroot", "-i", &owners, "mke2fs", "-q", "-t", "ext4", "-d", &root, disk, DISK
    )
    .run()
    .context("make the peer's disk")?;
    fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))
}
