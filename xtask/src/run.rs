//! Starts the ISO in a virtual machine in this terminal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::setup::{self, Purpose};
use crate::workspace::{Arch, Build};
use crate::{initrd, iso, progress};

/// Options of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Attach this disk image; it is made (blank) if missing
    #[arg(long)]
    disk: Option<PathBuf>,
    /// Size of a disk image that is made, in GiB
    #[arg(long, default_value_t = 8)]
    disk_size: u32,
    /// Port of this machine that leads to the guest's SSH server
    #[arg(long, default_value_t = 2222)]
    ssh_port: u16,
    /// Memory of the guest in MiB
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// Processors of the guest
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Start through UEFI firmware
    #[arg(long)]
    uefi: bool,
    /// Start what was built last, without building
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    initrd: initrd::Options,
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    setup::ensure(build, &[Purpose::Machine])?;
    let iso = if options.no_build {
        iso::path(build)
    } else {
        iso::ensure(build, &options.initrd)?
    };
    if !iso.is_file() {
        bail!("{} is missing: run without --no-build", iso.display());
    }
    let machine = Machine::of(build.arch);
    let arguments = arguments(build, options, &machine, &iso)?;
    progress::note(
        "run",
        &format!(
            "Ctrl-A X ends the machine; ssh -p {} rancher@localhost reaches it",
            options.ssh_port
        ),
    );
    cmd(machine.program, arguments)
        .run()
        .with_context(|| format!("run {}", machine.program))?;
    Ok(())
}

/// How QEMU makes a machine of one architecture.
struct Machine {
    program: &'static str,
    kind: &'static str,
    /// Processor under emulation. On x86-64, `max` corrupts flags in QEMU 7.2 and the guest dies; on arm64 it is slow.
    emulated: &'static str,
    firmware: &'static [&'static str],
}

impl Machine {
    fn of(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self {
                program: "qemu-system-x86_64",
                kind: "q35",
                emulated: "qemu64,+rdrand",
                firmware: &[
                    "/usr/share/OVMF/OVMF_CODE_4M.fd",
                    "/usr/share/OVMF/OVMF_CODE.fd",
                ],
            },
            Arch::Aarch64 => Self {
                program: "qemu-system-aarch64",
                kind: "virt",
                emulated: "cortex-a57",
                firmware: &["/usr/share/AAVMF/AAVMF_CODE.fd"],
            },
        }
    }
}

fn arguments(
    build: &Build,
    options: &Options,
    machine: &Machine,
    iso: &Path,
) -> Result<Vec<String>> {
    let (accelerator, cpu) = match accelerator(build.arch, machine.program)? {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", machine.emulated),
    };
    let mut all: Vec<String> = [
        "-nographic",
        "-no-reboot",
        "-accel",
        accelerator,
        "-cpu",
        cpu,
        "-machine",
        machine.kind,
    ]
    .map(str::to_owned)
    .to_vec();
    let mut add = |name: &str, value: String| all.extend([name.to_owned(), value]);
    add("-m", options.memory.to_string());
    add("-smp", options.cpus.to_string());
    add(
        "-netdev",
        format!(
            "user,id=net0,hostfwd=tcp:127.0.0.1:{}-:22",
            options.ssh_port
        ),
    );
    add("-device", "virtio-net-pci,netdev=net0".to_owned());
    add("-device", "virtio-rng-pci".to_owned());
    add(
        "-drive",
        format!(
            "file={},format=raw,if=none,id=iso,readonly=on,media=cdrom",
            iso.display()
        ),
    );
    add("-device", "virtio-scsi-pci".to_owned());
    add("-device", "scsi-cd,drive=iso,bootindex=1".to_owned());
    if options.uefi || build.arch == Arch::Aarch64 {
        let Some(firmware) = machine
            .firmware
            .iter()
            .find(|path| Path::new(path).exists())
        else {
            bail!(
                "no UEFI firmware: none of {} exists",
                machine.firmware.join(", ")
            );
        };
        add(
            "-drive",
            format!("if=pflash,format=raw,unit=0,readonly=on,file={firmware}"),
        );
    }
    if let Some(disk) = &options.disk {
        blank_disk(disk, options.disk_size)?;
        add(
            "-drive",
            format!("file={},format=raw,if=virtio", disk.display()),
        );
    }
    Ok(all)
}

/// Makes a sparse file unless there is one.
fn blank_disk(path: &Path, gibibytes: u32) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let file = fs::File::create_new(path).with_context(|| format!("create {}", path.display()))?;
    file.set_len(u64::from(gibibytes) << 30)
        .with_context(|| format!("grow {}", path.display()))
}

/// What runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accelerator {
    Kvm,
    Tcg,
}

/// Overrides the probe: `kvm` or `tcg`.
const OVERRIDE: &str = "RANCHEROS_QEMU_ACCEL";

/// Time for a firmware to say its first line: under KVM it takes milliseconds.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// KVM if a guest really runs under it: `/dev/kvm` can open and still run nothing.
fn accelerator(arch: Arch, program: &str) -> Result<Accelerator> {
    match std::env::var(OVERRIDE).as_deref() {
        Ok("kvm") => return Ok(Accelerator::Kvm),
        Ok("tcg") => return Ok(Accelerator::Tcg),
        Ok(other) => bail!("{OVERRIDE} is {other}, it can be kvm or tcg"),
        Err(_) => {}
    }
    let possible = arch == Arch::host()? && arch == Arch::X86_64 && Path::new("/dev/kvm").exists();
    Ok(if possible && speaks(program)? {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    })
}

/// Whether the BIOS of an empty machine under KVM writes a line to its debug port.
fn speaks(program: &str) -> Result<bool> {
    let port = [
        "-chardev",
        "stdio,id=port",
        "-device",
        "isa-debugcon,iobase=0x402,chardev=port",
    ];
    let machine = [
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "64",
        "-display",
        "none",
        "-nodefaults",
        "-no-reboot",
    ];
    let guest = cmd(program, machine.into_iter().chain(port))
        .stdin_null()
        .stderr_null()
        .unchecked();
    let guest = Arc::new(guest.reader().with_context(|| format!("run {program}"))?);
    let (sender, receiver) = mpsc::channel();
    let output = Arc::clone(&guest);
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(&*output).read_line(&mut line);
        // The other side may have given up
        let _ = sender.send(read.is_ok() && !line.is_empty());
    });
    let spoke = receiver.recv_timeout(PROBE_DEADLINE).unwrap_or(false);
    guest.kill().with_context(|| format!("end {program}"))?;
    Ok(spoke)
}
