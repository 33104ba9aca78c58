//! A machine that runs: waiting for it, driving it and looking at its console.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;

use crate::console::Console;
use crate::qmp::Qmp;
use crate::ssh::Ssh;

/// A boot under TCG takes 10 to 20 s here; two at a time on a busy machine three times that.
pub(crate) const BOOT_DEADLINE: Duration = Duration::from_secs(240);
/// Stopping services and unmounting; PID 1's own last deadline is 60 s.
pub(crate) const OFF_DEADLINE: Duration = Duration::from_secs(100);

/// The prompt of the operator's shell; without the bracket it would be the kernel's `rancher@rancheros`, its builder.
pub(crate) const PROMPT: &str = "[rancher@";
/// What PID 1 logs when every service was started.
pub(crate) const READY: &str = "boot: ready (";

/// The services of the media that run for good, as `system-docker ps` names them; the others end by themselves.
pub(crate) const SERVICES: [&str; 7] = [
    "acpid", "console", "docker", "network", "ntp", "syslog", "udev",
];

/// A machine that runs; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) console: Console,
    pub(crate) qmp: Qmp,
    pub(crate) ssh: Ssh,
    process: duct::Handle,
    allowed: Vec<&'static str>,
    /// Of the sockets.
    _folder: tempfile::TempDir,
}

impl Guest {
    /// The machine that QEMU's `process` is.
    pub(crate) fn new(
        console: Console,
        qmp: Qmp,
        ssh: Ssh,
        process: duct::Handle,
        folder: tempfile::TempDir,
    ) -> Guest {
        Guest {
            console,
            qmp,
            ssh,
            process,
            allowed: Vec::new(),
            _folder: folder,
        }
    }

    /// Waits until every service was started and SSH answers.
    pub(crate) fn wait_ready(&self) -> anyhow::Result<()> {
        self.wait_ready_after(0)
    }

    /// The same for a boot that began after `mark`.
    pub(crate) fn wait_ready_after(&self, mark: usize) -> anyhow::Result<()> {
        self.console.wait_after(mark, READY, BOOT_DEADLINE)?;
        self.ssh
            .wait(BOOT_DEADLINE)
            .with_context(|| self.console.tail())
    }

    /// Waits until User Docker answers and has the image that the media brings.
    pub(crate) fn wait_docker(&self) -> anyhow::Result<()> {
        self.ssh
            .run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)
            .map(drop)
            .context("User Docker does not answer, or has no busybox")
    }

    /// Waits until exactly these services run: those that end by themselves may still be at it when the boot is ready.
    pub(crate) fn wait_services(&self, names: &[&str]) -> anyhow::Result<()> {
        const LIST: &str = "system-docker ps --filter label=io.rancher.os.scope=system \
            --format '{{.Names}}' | sort | tr '\\n' ' '";
        let expected = format!("{} ", names.join(" "));
        match self.run_until(&format!("test \"$({LIST})\" = '{expected}'"), BOOT_DEADLINE) {
            Ok(_) => Ok(()),
            Err(error) => bail!("running: {}, not {expected}: {error:#}", self.run(LIST)?),
        }
    }

    /// Runs a command as rancher, which must succeed; returns what it printed, without the last newline.
    pub(crate) fn run(&self, command: &str) -> anyhow::Result<String> {
        self.ssh.run(command).with_context(|| self.console.tail())
    }

    /// Runs a command again and again until it succeeds.
    pub(crate) fn run_until(&self, command: &str, deadline: Duration) -> anyhow::Result<String> {
        self.ssh
            .run_until(command, deadline)
            .with_context(|| self.console.tail())
    }

    /// Runs a command that must end with this exit code, and say these words on standard error.
    pub(crate) fn refuses(&self, command: &str, code: i32, words: &str) -> anyhow::Result<()> {
        let answer = self.ssh.answer(command)?;
        ensure!(
            answer.code == code && answer.stderr.contains(words),
            "{command}: {answer:?}"
        );
        Ok(())
    }

    /// Types a command at the console, and waits until it has printed these words; what is typed is shown too, and must
    /// not hold them.
    pub(crate) fn types(&self, command: &str, words: &str) -> anyhow::Result<()> {
        let mark = self.console.mark();
        self.console.type_line(command)?;
        self.console
            .wait_after(mark, words, BOOT_DEADLINE)
            .with_context(|| command.to_owned())
    }

    /// Lets the console hold a line that would else fail the test, since the test provokes it.
    pub(crate) fn allow(&mut self, line: &'static str) {
        self.allowed.push(line);
    }

    /// Reboots, and waits for the next kernel; returns where the console's text of the new boot begins.
    pub(crate) fn reboot(&self) -> anyhow::Result<usize> {
        let mark = self.console.mark();
        // The connection ends with the machine.
        let _ = self.ssh.answer("sudo reboot");
        self.console
            .wait_after(mark, "Linux version", OFF_DEADLINE)?;
        Ok(mark)
    }

    /// Presses the power button.
    pub(crate) fn press_power(&mut self) -> anyhow::Result<()> {
        self.qmp.run("system_powerdown", json!({})).map(drop)
    }

    /// Presses Ctrl-Alt-Del on the machine's keyboard.
    pub(crate) fn press_ctrl_alt_del(&mut self) -> anyhow::Result<()> {
        let key = |name: &str| json!({ "type": "qcode", "data": name });
        self.qmp
            .run(
                "send-key",
                json!({ "keys": [key("ctrl"), key("alt"), key("delete")] }),
            )
            .map(drop)
    }

    /// Waits for the machine to be off, by the guest's own doing, and for a clean console.
    pub(crate) fn wait_off(&mut self) -> anyhow::Result<()> {
        self.wait_end("guest-shutdown")
    }

    /// Waits for the guest to reset a machine that [ends then](crate::machine::Machine::reset_ends), and for a clean
    /// console.
    pub(crate) fn wait_reset(&mut self) -> anyhow::Result<()> {
        self.wait_end("guest-reset")
    }

    fn wait_end(&mut self, expected: &str) -> anyhow::Result<()> {
        self.console.wait_closed(OFF_DEADLINE)?;
        let end = self.qmp.end()?;
        if end != expected {
            bail!("ended by {end}, not {expected}\n{}", self.console.tail());
        }
        self.check()
    }

    /// Fails when the console holds a line that no boot may print.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.console.forbidden_line(&self.allowed) {
            Some(line) => bail!("the console says: {line}\n{}", self.console.tail()),
            None => Ok(()),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself. The next machine can have its disks only when it is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
