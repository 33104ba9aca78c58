//! What ends the normal run: Ctrl-Alt-Del, the power button (acpid runs `poweroff`) and the
//! commands reboot, poweroff and halt, all as signals to PID 1.
//!
//! The numbers are those of systemd(1) and of busybox init, so that foreign tools work too.

use sys::reboot::Action;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGRTMIN of glibc (nptl(7): the first two real-time signals are its own).
const SIGRTMIN: i32 = 34;

/// Which signal asks for what.
#[rustfmt::skip]
const REQUESTS: &[(i32, Action)] = &[
    (2,            Action::Reboot),   // SIGINT: the kernel's Ctrl-Alt-Del
    (15,           Action::Reboot),   // SIGTERM: busybox reboot
    (12,           Action::PowerOff), // SIGUSR2: busybox poweroff
    (10,           Action::Halt),     // SIGUSR1: busybox halt
    (SIGRTMIN + 3, Action::Halt),
    (SIGRTMIN + 4, Action::PowerOff),
    (SIGRTMIN + 5, Action::Reboot),
    (SIGRTMIN + 6, Action::Kexec),    // systemd's kexec.target: into the kernel that was loaded
];

/// Listens for the requests from the moment it is made.
pub(crate) struct Requests(Vec<(Signal, Action)>);

impl Requests {
    /// # Errors
    /// When the kernel refuses a handler.
    pub(crate) fn listen() -> std::io::Result<Requests> {
        // Without this Ctrl-Alt-Del resets the machine at once (reboot(2), CAD_OFF).
        if let Err(error) = sys::reboot::disable_ctrl_alt_del() {
            crate::log::warning(&format!("ctrl-alt-del: {error}"));
        }
        REQUESTS
            .iter()
            .map(|(number, action)| Ok((signal(SignalKind::from_raw(*number))?, *action)))
            .collect::<std::io::Result<_>>()
            .map(Requests)
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Action {
        std::future::poll_fn(|context| {
            for (signal, action) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*action);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
