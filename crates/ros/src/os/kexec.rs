//! kexec: the kernel of a slot, started by the running one. It saves the firmware's minutes, and proves nothing about the firmware:
//! a version that came this way is committed by the first boot through the firmware that passes (siderolabs/talos#14146: a machine
//! that worked after kexec, and hung at its next cold boot).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use config::CommandLine;
use install::{Role, Slot, Step, Which};
use sys::mount::{self, MountFlags, UnmountFlags};

use super::failure::fail;
use super::installed::{Installed, STORE, Writable};

/// GRUB writes `rancher.boot` for the boots that it starts, and not for these.
pub(super) const WHY: &str = "kexec";
/// Next to the history: the id of the boot that jumps ([`BOOT_ID`]), until the new system has come up.
const JUMPED: &str = "kexec-jumped";
/// Next to the history: a jump after which the machine came by its firmware.
const FAILED: &str = "kexec-failed";
/// Names this boot, random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Whether the kernel can do it at all.
const LOADED: &str = "/sys/kernel/kexec_loaded";
/// Whether somebody has forbidden it.
const DISABLED: &str = "/proc/sys/kernel/kexec_load_disabled";
/// Drivers whose devices do not come up again after kexec (siderolabs/talos#10143, #13785), by the names of their modules.
const DRIVERS: &[&str] = &["mlx4_core", "i915", "nvidia", "amdgpu"];
/// The variable of UEFI; four bytes of attributes, then 1 when it is on.
const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Files of a slot, and the largest that is read, in bytes.
const FILES: [&str; 2] = ["VMLINUZ", "INITRD"];
const FILE_MAX: usize = 128 << 20;
/// What GRUB adds for a try (`iso/boot.cfg`).
const TRIAL: &str = "panic=10 oops=panic";

/// # Errors
/// Why this machine must go through its firmware. `force` overrides what is only experience.
pub(super) fn check(force: bool) -> anyhow::Result<()> {
    if !Path::new(LOADED).exists() {
        fail!(
            Refused,
            "kexec is not possible: this kernel does not have it"
        );
    }
    if fs::read_to_string(DISABLED).is_ok_and(|text| text.trim() != "0") {
        fail!(
            Refused,
            "kexec is not possible: kernel.kexec_load_disabled is set"
        );
    }
    if secure_boot() {
        fail!(
            Refused,
            "kexec is not possible: Secure Boot is on, and kernels are not signed for it"
        );
    }
    if fs::read_to_string("/sys/hypervisor/type").is_ok_and(|text| text.trim() == "xen") {
        fail!(Refused, "kexec is not possible under Xen");
    }
    if force {
        return Ok(());
    }
    let loaded = |name: &&&str| Path::new("/sys/module").join(name).exists();
    if let Some(driver) = DRIVERS.iter().find(loaded) {
        fail!(
            Refused,
            "devices of the driver {driver} often do not come up again after kexec; -f tries it"
        );
    }
    if Path::new(STORE).join(FAILED).exists() {
        fail!(
            Refused,
            "an earlier kexec of this machine did not come back; -f tries it again"
        );
    }
    Ok(())
}

/// Whether UEFI says so. A machine whose variables cannot be read has the kernel's own answer when the kernel is loaded.
fn secure_boot() -> bool {
    if !Path::new("/sys/firmware/efi").exists() {
        return false;
    }
    let is_on = |folder: &Path| {
        let value = fs::read(folder.join(SECURE_BOOT)).ok()?;
        Some(value.last() == Some(&1))
    };
    if let Some(known) = is_on(Path::new("/sys/firmware/efi/efivars")) {
        return known;
    }
    let folder = PathBuf::from(format!("/run/ros-efivars-{}", std::process::id()));
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    let mounted = fs::create_dir_all(&folder).is_ok()
        && mount::mount("efivarfs", &folder, "efivarfs", flags, "").is_ok();
    let known = is_on(&folder).unwrap_or(false);
    if mounted {
        let _ = mount::unmount(&folder, UnmountFlags::DETACH);
    }
    let _ = fs::remove_dir(&folder);
    known
}

/// Loads the kernel of the slot that is to be tried, and counts the try as GRUB would; then PID 1 is asked for the jump.
pub(super) fn try_slot(machine: &Installed, slot: Slot) -> anyhow::Result<()> {
    let decision = install::choose(&machine.records()?, true);
    let Some(block) = decision.tries.filter(|_| decision.slot() == slot) else {
        fail!(Refused, "the records do not say that slot {slot} is tried");
    };
    let boot = format!("{}.{}.{WHY}", decision.id, decision.attempt);
    load(machine, slot, &boot, TRIAL)?;
    note_jump()?;
    let counted = machine.apply(&[Step {
        which: Which::Tries,
        block,
    }]);
    if counted.is_err() {
        let _ = forget(JUMPED);
    }
    counted?;
    crate::power::kexec()
}

/// Until the new system forgets it ([`arrived`]).
fn note_jump() -> anyhow::Result<()> {
    let boot = fs::read(BOOT_ID).with_context(|| format!("cannot read {BOOT_ID}"))?;
    let writable = Writable::new()?;
    fs::write(writable.root().join(JUMPED), boot).context("cannot note the jump")
}

fn forget(note: &str) -> anyhow::Result<()> {
    if !Path::new(STORE).join(note).exists() {
        return Ok(());
    }
    let writable = Writable::new()?;
    fs::remove_file(writable.root().join(note)).with_context(|| format!("cannot remove {note}"))
}

/// Loads the kernel of the running version again, with `append` after its parameters for this one start. `force` as in [`check`].
pub(crate) fn load_running(append: &str, force: bool) -> anyhow::Result<()> {
    check(force)?;
    let machine = Installed::here()?;
    let choice = machine.records()?.choice();
    let choice = choice.context("the boot records are lost")?;
    if choice.good != machine.slot || choice.next.is_some() {
        fail!(
            Refused,
            "a version is to be tried: `ros os upgrade --kexec` starts it so, a reboot through the firmware decides"
        );
    }
    let boot = format!("{:08}.0.{WHY}", choice.id);
    load(&machine, machine.slot, &boot, append)?;
    // The jump does not depend on it
    if let Err(error) = note_jump() {
        eprintln!("warning: a jump that does not come back will not be remembered: {error:#}");
    }
    Ok(())
}

fn load(machine: &Installed, slot: Slot, boot: &str, more: &str) -> anyhow::Result<()> {
    let environment = machine.environment(slot)?;
    let arguments = environment.into_iter().find(|(name, _)| name == "args");
    let arguments = arguments.map(|(_, value)| value).unwrap_or_default();
    let line = fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    let line = CommandLine::parse(&line);
    let disk = line
        .values("rancher.disk")
        .last()
        .unwrap_or_default()
        .to_owned();
    let parameters = parameters(&arguments, more, slot, boot, &disk);
    let mut disk = machine.open(Role::Kernel(slot))?;
    let mut file = |name: &str| -> anyhow::Result<File> {
        let content = install::fat::read(&mut disk, 0, name, FILE_MAX)?;
        in_memory(name, &content)
    };
    let (kernel, initrd) = (file(FILES[0])?, file(FILES[1])?);
    Ok(sys::reboot::load_kernel(&kernel, &initrd, &parameters)?)
}

/// The line that GRUB would make.
fn parameters(arguments: &str, more: &str, slot: Slot, boot: &str, disk: &str) -> String {
    let own = format!("rancher.slot={slot} rancher.boot={boot} rancher.disk={disk}");
    let parts = [arguments, more, &own];
    let words = parts.iter().flat_map(|part| part.split_whitespace());
    words.collect::<Vec<_>>().join(" ")
}

/// A file without a name in RAM, to be read by the kernel.
fn in_memory(name: &str, content: &[u8]) -> anyhow::Result<File> {
    let path = PathBuf::from(format!("/run/ros-kexec-{name}-{}", std::process::id()));
    let made = fs::write(&path, content).and_then(|()| File::open(&path));
    // Its content stays until it is closed
    let _ = fs::remove_file(&path);
    made.with_context(|| format!("no room for {name} in RAM"))
}

/// Whether this boot came by kexec; a jump that was not followed by one is remembered.
pub(super) fn arrived(machine: &Installed) -> anyhow::Result<bool> {
    let by_kexec = machine.why == WHY;
    if by_kexec {
        forget(JUMPED)?;
        forget(FAILED)?;
        return Ok(true);
    }
    let noted = fs::read(Path::new(STORE).join(JUMPED)).ok();
    // One of this boot was not made yet
    if noted.is_some() && noted != fs::read(BOOT_ID).ok() {
        let writable = Writable::new()?;
        let (jumped, failed) = (writable.root().join(JUMPED), writable.root().join(FAILED));
        fs::rename(jumped, failed).context("cannot note a lost jump")?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_grubs() {
        let line = parameters("a=1 b", TRIAL, Slot::B, "00000007.1.kexec", "ABC-1");
        assert_eq!(
            line,
            "a=1 b panic=10 oops=panic rancher.slot=5 rancher.boot=00000007.1.kexec rancher.disk=ABC-1"
        );
        let line = parameters("", "", Slot::A, "00000007.0.kexec", "");
        assert_eq!(
            line,
            "rancher.slot=4 rancher.boot=00000007.0.kexec rancher.disk="
        );
    }
}
