//! QEMU's command line for a machine.

use std::path::Path;

use anyhow::Context;

use super::{Boot, Firmware, Machine};
use crate::accelerator::Accelerator;
use crate::artifacts::Artifacts;

impl Machine {
    /// All arguments; QEMU makes its sockets in `folder`.
    pub(super) fn command_line(
        &self,
        artifacts: &Artifacts,
        folder: &Path,
        ssh_port: u16,
    ) -> anyhow::Result<Vec<String>> {
        let machine = &artifacts.machine;
        let accelerator = Accelerator::detect(
            &artifacts.arch,
            &machine.program,
            &artifacts.kernel,
            &machine.serial,
        );
        let cpu = if accelerator == Accelerator::Kvm {
            &machine.kvm_cpu
        } else {
            &machine.tcg_cpu
        };
        let mut line = Line::default();
        line.add(&[
            "-S",
            "-nodefaults",
            "-display",
            "none",
            "-no-user-config",
            "-smp",
            "2",
        ]);
        line.add(&[
            "-machine",
            &machine.machine,
            "-accel",
            accelerator.argument(),
            "-cpu",
            cpu,
        ]);
        line.add(&["-m", &self.memory_mib.to_string(), "-rtc", "base=utc"]);
        line.add(&["-device", "virtio-rng-pci", "-device", "virtio-vga"]);
        line.add(&[
            "-chardev",
            &format!(
                "socket,id=serial,path={}/serial,server=on,wait=off",
                folder.display()
            ),
            "-serial",
            "chardev:serial",
        ]);
        let qmp = format!("unix:{}/qmp,server=on,wait=off", folder.display());
        line.add(&["-qmp", &qmp]);
        if self.has_network {
            line.add(&[
                "-netdev",
                &format!("user,id=net,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"),
                "-device",
                "virtio-net-pci,netdev=net",
            ]);
        }
        if self.reset_ends {
            line.add(&["-no-reboot"]);
        }
        self.medium(artifacts, &mut line);
        self.program(artifacts, folder, &mut line)?;
        for drive in &self.drives {
            line.add(&["-drive", drive]);
        }
        line.0.extend(self.arguments.iter().cloned());
        Ok(line.0)
    }

    /// The drive with the ISO.
    fn medium(&self, artifacts: &Artifacts, line: &mut Line) {
        let iso = self
            .iso
            .as_deref()
            .unwrap_or(&artifacts.iso)
            .display()
            .to_string();
        match self.boot {
            Boot::Disc => line.add(&[
                "-drive",
                &format!("file={iso},format=raw,media=cdrom,readonly=on"),
            ]),
            Boot::Kernel => line.add(&[
                "-device",
                "virtio-scsi-pci",
                "-device",
                "scsi-cd,drive=disc",
                "-drive",
                &format!("file={iso},format=raw,if=none,id=disc,media=cdrom,readonly=on"),
            ]),
            Boot::Stick => line.add(&[
                "-device",
                "qemu-xhci",
                "-device",
                "usb-storage,drive=stick,removable=on,bootindex=1",
                "-drive",
                &format!("file={iso},format=raw,if=none,id=stick,readonly=on"),
            ]),
            Boot::Network | Boot::Peer | Boot::Disk => {}
        }
    }

    /// What starts first: a kernel that QEMU loads, with its parameters, or the firmware.
    fn program(&self, artifacts: &Artifacts, folder: &Path, line: &mut Line) -> anyhow::Result<()> {
        let machine = &artifacts.machine;
        match self.boot {
            Boot::Kernel => line.add(&["-kernel", &artifacts.kernel, "-initrd", &artifacts.initrd]),
            Boot::Network => line.add(&[
                "-kernel",
                &artifacts.kernel,
                "-initrd",
                &artifacts.network_initrd,
            ]),
            Boot::Peer => line.add(&["-kernel", &artifacts.kernel]),
            Boot::Disc | Boot::Stick | Boot::Disk => {}
        }
        if matches!(self.boot, Boot::Kernel | Boot::Network) {
            let console = format!(
                "console={} printk.devkmsg=on panic=10 rancher.debug=true",
                machine.serial
            );
            line.add(&[
                "-append",
                &format!(
                    "{console} cc.ssh_authorized_keys=[\"{}\"]{}",
                    artifacts.key.public, self.parameters
                ),
            ]);
        } else if self.boot == Boot::Peer {
            line.add(&[
                "-append",
                &format!(
                    "console={} root=/dev/vda rw printk.devkmsg=on{}",
                    machine.serial, self.parameters
                ),
            ]);
        } else if self.firmware == Firmware::Uefi || artifacts.arch == "aarch64" {
            let variables = folder.join("firmware-variables");
            std::fs::copy(machine.firmware_variables()?, &variables)
                .context("cannot copy the firmware's variables")?;
            line.add(&[
                "-drive",
                &format!(
                    "if=pflash,format=raw,readonly=on,file={}",
                    machine.firmware()?
                ),
            ]);
            line.add(&[
                "-drive",
                &format!("if=pflash,format=raw,file={}", variables.display()),
            ]);
        }
        Ok(())
    }
}

/// QEMU's arguments.
#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }
}
