//! Which accelerator a guest runs under: KVM if a guest really runs there, else TCG.
//!
//! `/dev/kvm` can open and still not run a guest (nested virtualisation without the host's help), so
//! the probe boots the tested kernel and waits for its first line.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

/// Overrides the probe: `kvm` or `tcg`.
const OVERRIDE: &str = "RANCHEROS_QEMU_ACCEL";

/// A guest under KVM prints within milliseconds; under a broken one never.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// How guests are run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// Hardware virtualisation.
    Kvm,
    /// QEMU's own emulation.
    Tcg,
}

impl Accelerator {
    /// The accelerator of this machine for guests of `arch`, found once.
    pub(crate) fn detect(arch: &str, program: &str, kernel: &str, serial: &str) -> Accelerator {
        static FOUND: OnceLock<Accelerator> = OnceLock::new();
        *FOUND.get_or_init(|| match std::env::var(OVERRIDE).as_deref() {
            Ok("kvm") => Accelerator::Kvm,
            Ok("tcg") => Accelerator::Tcg,
            _ if arch == std::env::consts::ARCH
                && Path::new("/dev/kvm").exists()
                && runs(program, kernel, serial) =>
            {
                Accelerator::Kvm
            }
            _ => Accelerator::Tcg,
        })
    }

    /// The value of QEMU's `-accel`.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg,thread=multi",
        }
    }
}

/// Whether the tested kernel prints its first line under KVM; a broken KVM runs the firmware and
/// hangs in the kernel, or does not run at all.
fn runs(program: &str, kernel: &str, serial: &str) -> bool {
    let command_line = format!("console={serial} panic=-1");
    let arguments = [
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "256",
        "-display",
        "none",
        "-nodefaults",
        "-no-reboot",
        "-serial",
        "stdio",
        "-kernel",
        kernel,
        "-append",
        &command_line,
    ];
    let Ok(reader) = duct::cmd(program, arguments)
        .stdin_null()
        .stderr_null()
        .unchecked()
        .reader()
    else {
        return false;
    };
    let reader = Arc::new(reader);
    let output = Arc::clone(&reader);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(&*output).split(b'\n').map_while(Result::ok);
        let booted = lines.any(|line| String::from_utf8_lossy(&line).contains("Linux version"));
        // The receiver may have given up.
        let _ = sender.send(booted);
    });
    let answered = receiver.recv_timeout(PROBE_DEADLINE).unwrap_or(false);
    // Ends QEMU, and with it the thread's read; it may have ended by itself.
    let _ = reader.kill();
    answered
}
