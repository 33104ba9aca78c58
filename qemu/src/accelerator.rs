//! Which accelerator a guest runs under: KVM if a guest really runs there, else TCG.
//!
//! `/dev/kvm` can open and still not run a guest (nested virtualisation without the host's help), so
//! the probe boots a guest of one instruction page and waits for QEMU to say that it runs.

use std::io::Read;
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
    pub(crate) fn detect(arch: &str, program: &str) -> Accelerator {
        static FOUND: OnceLock<Accelerator> = OnceLock::new();
        *FOUND.get_or_init(|| match std::env::var(OVERRIDE).as_deref() {
            Ok("kvm") => Accelerator::Kvm,
            Ok("tcg") => Accelerator::Tcg,
            _ if arch == std::env::consts::ARCH
                && Path::new("/dev/kvm").exists()
                && runs(program) =>
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

/// Whether SeaBIOS gets as far as its first line on the debug port under KVM.
fn runs(program: &str) -> bool {
    let arguments = [
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
        "-boot",
        "menu=off",
        "-chardev",
        "stdio,id=debug",
        "-device",
        "isa-debugcon,iobase=0x402,chardev=debug",
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
        let mut first = [0; 7];
        let read = (&*output).read_exact(&mut first);
        // The receiver may have given up.
        let _ = sender.send(read.is_ok() && &first == b"SeaBIOS");
    });
    let answered = receiver.recv_timeout(PROBE_DEADLINE).unwrap_or(false);
    // Ends QEMU, and with it the thread's read; it may have ended by itself.
    let _ = reader.kill();
    answered
}
