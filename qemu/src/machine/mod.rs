//! A virtual machine: how it is described, started, driven and ended.

mod command_line;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use crate::artifacts::Artifacts;
use crate::console::Console;
use crate::disk;
use crate::guest::Guest;
use crate::qmp::Qmp;
use crate::ssh::{Ssh, free_port};

/// Time for QEMU to make its sockets.
const START_DEADLINE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where the machine finds its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    /// The ISO in a CD drive, through the firmware.
    Disc,
    /// The ISO copied to a USB stick, through the firmware.
    Stick,
    /// QEMU loads kernel and initrd; the images are on the ISO in a CD drive behind virtio. (QEMU 7.2 loses an interrupt of
    /// its AHCI once in some hundred boots: the drive stops for 30 s, and the kernel warns.)
    Kernel,
    /// QEMU loads kernel and the network boot initrd, which has the images; there is no drive.
    Network,
    /// The firmware starts from the first disk; there is no medium.
    Disk,
    /// QEMU loads the kernel; the root file system is the first disk, and it is the peer's.
    Peer,
}

/// The firmware of a machine that boots through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    Bios,
    Uefi,
}

/// Where a machine keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As the run has it: on a fresh disk, or in RAM for the variant (`--machine ram`).
    AsTheRun,
    /// On no disk, or on one that the test brings.
    TestsOwn,
}

/// A machine to be started.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Names the log files.
    name: String,
    boot: Boot,
    firmware: Firmware,
    parameters: String,
    memory_mib: u32,
    drives: Vec<String>,
    arguments: Vec<String>,
    iso: Option<PathBuf>,
    reset_ends: bool,
    has_network: bool,
    state: State,
}

impl Machine {
    /// A machine of 1 GiB and two processors, with a fresh state disk after all others; the test key may log in where the
    /// boot allows it.
    pub(crate) fn new(name: &str, boot: Boot) -> Machine {
        Machine {
            name: name.to_owned(),
            boot,
            firmware: Firmware::Bios,
            parameters: String::new(),
            memory_mib: 1024,
            drives: Vec::new(),
            arguments: Vec::new(),
            iso: None,
            reset_ends: false,
            has_network: true,
            state: State::AsTheRun,
        }
    }

    /// Boots through this firmware.
    pub(crate) fn firmware(mut self, firmware: Firmware) -> Machine {
        self.firmware = firmware;
        self
    }

    /// Adds kernel parameters (only where QEMU loads the kernel).
    pub(crate) fn parameters(mut self, parameters: &str) -> Machine {
        self.parameters = format!("{} {parameters}", self.parameters);
        self
    }

    /// Sets the RAM, in MiB.
    pub(crate) fn memory_mib(mut self, memory_mib: u32) -> Machine {
        self.memory_mib = memory_mib;
        self
    }

    /// Adds a disk: a raw image, which the guest may change.
    pub(crate) fn disk(mut self, image: &Path) -> Machine {
        self.drives.push(format!(
            "file={},format=raw,if=virtio,cache=unsafe",
            image.display()
        ));
        self
    }

    /// Adds a disk behind a controller: QEMU's name of the device, with its options.
    pub(crate) fn disk_behind(mut self, image: &Path, device: &str) -> Machine {
        self.arguments.extend([
            "-drive".to_owned(),
            format!(
                "file={},format=raw,if=none,id=disk,cache=unsafe",
                image.display()
            ),
        ]);
        if device.starts_with("usb") {
            self.arguments
                .extend(["-device", "qemu-xhci"].map(str::to_owned));
        }
        self.arguments
            .extend(["-device".to_owned(), format!("{device},drive=disk")]);
        self
    }

    /// Adds a disc in a drive behind virtio.
    pub(crate) fn disc_behind_scsi(mut self, image: &Path) -> Machine {
        let id = format!("cd{}", self.arguments.len());
        let drive = format!(
            "file={},format=raw,if=none,id={id},media=cdrom,readonly=on",
            image.display()
        );
        let device = format!("scsi-cd,drive={id}");
        let words = [
            "-device",
            "virtio-scsi-pci",
            "-drive",
            &drive,
            "-device",
            &device,
        ];
        self.arguments.extend(words.map(str::to_owned));
        self
    }

    /// Has no state disk: what the system writes is lost at the end.
    pub(crate) fn in_ram(mut self) -> Machine {
        self.state = State::TestsOwn;
        self
    }

    /// Keeps its state on this disk.
    pub(crate) fn state_disk(self, image: &Path) -> Machine {
        self.in_ram().disk(image)
    }

    /// Adds a disc, such as a config drive.
    pub(crate) fn disc(mut self, image: &Path) -> Machine {
        self.drives.push(format!(
            "file={},format=raw,media=cdrom,readonly=on",
            image.display()
        ));
        self
    }

    /// Adds arguments for QEMU.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Machine {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Uses this ISO in place of the built one.
    pub(crate) fn iso(mut self, iso: &Path) -> Machine {
        self.iso = Some(iso.to_owned());
        self
    }

    /// Has no card but those that it is given: nobody gets in but by the serial port.
    pub(crate) fn without_network(mut self) -> Machine {
        self.has_network = false;
        self
    }

    /// Ends QEMU when the guest resets, in place of booting again.
    pub(crate) fn reset_ends(mut self) -> Machine {
        self.reset_ends = true;
        self
    }

    /// Starts it; nothing is waited for but QEMU's sockets.
    pub(crate) fn start(mut self, artifacts: &Artifacts) -> anyhow::Result<Guest> {
        let folder = tempfile::Builder::new()
            .prefix("qemu-test-")
            .tempdir()
            .context("cannot make a folder for sockets")?;
        if self.has_fresh_state(artifacts) {
            let state = folder.path().join("state");
            disk::make_state(&state)?;
            self = self.disk(&state);
        }
        let ssh_port = free_port()?;
        let arguments = self.command_line(artifacts, folder.path(), ssh_port)?;
        let log = artifacts.log(&self.name, "qemu");
        let process = duct::cmd(&artifacts.machine.program, arguments)
            .stdin_null()
            .stdout_null()
            .stderr_path(&log)
            .unchecked()
            .start()
            .with_context(|| format!("cannot start {}", artifacts.machine.program))?;
        // A socket is there before QEMU listens on it: only a connection tells.
        let connect = |socket: &str| -> anyhow::Result<UnixStream> {
            let end = Instant::now() + START_DEADLINE;
            loop {
                let error = match UnixStream::connect(folder.path().join(socket)) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => error,
                };
                if Instant::now() > end || process.try_wait()?.is_some() {
                    bail!(
                        "QEMU did not start ({socket}: {error}): {}",
                        std::fs::read_to_string(&log).unwrap_or_default().trim()
                    );
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        };
        let (qmp, serial) = (connect("qmp")?, connect("serial")?);
        let console = Console::new(serial, &artifacts.log(&self.name, "console"))?;
        let mut qmp = Qmp::new(qmp)?;
        qmp.run("cont", json!({}))?;
        let ssh = Ssh::new(folder.path(), &artifacts.key, ssh_port);
        Ok(Guest::new(console, qmp, ssh, process, folder))
    }

    /// A machine whose first disk is the system's brings its own.
    fn has_fresh_state(&self, artifacts: &Artifacts) -> bool {
        self.state == State::AsTheRun
            && artifacts.state_disks
            && !matches!(self.boot, Boot::Disk | Boot::Peer)
    }
}
