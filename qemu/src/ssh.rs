//! The stock ssh client, with the test's key, against the guest's forwarded port.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long one command may run.
const COMMAND_DEADLINE: Duration = Duration::from_secs(180);
/// Pause between two attempts of a command that is waited for.
pub(crate) const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How long a program of some 60 MB may take into a guest without KVM.
const SEND_DEADLINE: Duration = Duration::from_secs(300);
/// How long a forwarded socket may take to appear.
const FORWARD_DEADLINE: Duration = Duration::from_secs(60);

/// A key pair made for one run of the tests.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The private key's file.
    pub(crate) path: PathBuf,
    /// The public key's line.
    pub(crate) public: String,
}

impl Key {
    /// Makes a key in `folder`.
    pub(crate) fn generate(folder: &Path) -> anyhow::Result<Key> {
        let path = folder.join("key");
        duct::cmd!(
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "qemu-test",
            "-f",
            &path
        )
        .run()
        .context("cannot make an SSH key")?;
        let public = std::fs::read_to_string(path.with_extension("pub"))
            .context("cannot read the SSH key")?;
        Ok(Key {
            path,
            public: public.trim().to_owned(),
        })
    }
}

/// A socket of the guest that is one of this machine; it ends with the value.
#[derive(Debug)]
pub(crate) struct Forward(duct::Handle);

impl Drop for Forward {
    fn drop(&mut self) {
        // It may have ended with the guest.
        let _ = self.0.kill();
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The way into one guest.
#[derive(Debug)]
pub(crate) struct Ssh {
    options: Vec<String>,
    port: u16,
}

impl Ssh {
    /// Connections share one login, kept in `folder`: a handshake costs a second under TCG.
    pub(crate) fn new(folder: &Path, key: &Key, port: u16) -> Ssh {
        let mut options = Ssh::common(port);
        options.extend(["-i".to_owned(), key.path.display().to_string()]);
        for option in [
            "ControlMaster=auto",
            "ControlPersist=600",
            &format!("ControlPath={}/ssh", folder.display()),
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        Ssh { options, port }
    }

    fn common(port: u16) -> Vec<String> {
        let mut options = vec!["-p".to_owned(), port.to_string()];
        for option in [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=20",
            "IdentitiesOnly=yes",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options
    }

    /// Runs a command as rancher and returns how it ended.
    pub(crate) fn answer(&self, command: &str) -> anyhow::Result<Answer> {
        self.answer_as("rancher", &self.options, command, "")
    }

    /// Runs a command as rancher on a terminal, where this is typed.
    pub(crate) fn answer_typed(&self, command: &str, typed: &str) -> anyhow::Result<Answer> {
        let mut options = self.options.clone();
        options.push("-tt".to_owned());
        self.answer_as("rancher", &options, command, typed)
    }

    /// Runs a command as rancher over a connection that did not exist before.
    pub(crate) fn answer_anew(&self, command: &str) -> anyhow::Result<Answer> {
        self.answer_as("rancher", &self.unshared(), command, "")
    }

    /// The options of a connection that no other uses: the first value of an option counts.
    fn unshared(&self) -> Vec<String> {
        let mut options: Vec<String> = ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
            .map(ToOwned::to_owned)
            .into();
        options.extend(self.options.iter().cloned());
        options
    }

    /// Tries to log in as `user` with these options instead of the test's key.
    pub(crate) fn answer_without_key(
        &self,
        user: &str,
        options: &[&str],
    ) -> anyhow::Result<Answer> {
        let mut all = Ssh::common(self.port);
        all.extend(options.iter().map(|option| (*option).to_owned()));
        self.answer_as(user, &all, "true", "")
    }

    /// Tries to log in as `user` with the test's key.
    pub(crate) fn answer_as_user(&self, user: &str, key: &Key) -> anyhow::Result<Answer> {
        let mut options = Ssh::common(self.port);
        options.extend(["-i".to_owned(), key.path.display().to_string()]);
        self.answer_as(user, &options, "true", "")
    }

    fn answer_as(
        &self,
        user: &str,
        options: &[String],
        command: &str,
        typed: &str,
    ) -> anyhow::Result<Answer> {
        let mut arguments = options.to_vec();
        arguments.extend([format!("{user}@127.0.0.1"), command.to_owned()]);
        let handle = duct::cmd("ssh", arguments)
            .stdin_bytes(typed)
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .start()
            .context("cannot start ssh")?;
        let Some(output) = handle.wait_timeout(COMMAND_DEADLINE)? else {
            // It is killed so that it does not outlive the test.
            let _ = handle.kill();
            bail!("no end after {} s: {command}", COMMAND_DEADLINE.as_secs());
        };
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned(),
            stderr: String::from_utf8_lossy(&output.stderr)
                .trim_end()
                .to_owned(),
        })
    }

    /// Runs a command that must succeed; returns what it printed.
    pub(crate) fn run(&self, command: &str) -> anyhow::Result<String> {
        let Answer {
            code,
            stdout,
            stderr,
        } = self.answer(command)?;
        if code != 0 {
            bail!("exit code {code} of {command}\n  stdout: {stdout}\n  stderr: {stderr}");
        }
        Ok(stdout)
    }

    /// Copies a program into the guest.
    pub(crate) fn send_program(&self, program: &Path, target: &str) -> anyhow::Result<()> {
        let mut arguments = self.options.clone();
        arguments.extend([
            "rancher@127.0.0.1".to_owned(),
            format!("cat > {target}.part && chmod 755 {target}.part && mv {target}.part {target}"),
        ]);
        let handle = duct::cmd("ssh", arguments)
            .stdin_path(program)
            .stdout_null()
            .stderr_capture()
            .unchecked()
            .start()
            .context("cannot start ssh")?;
        let Some(output) = handle.wait_timeout(SEND_DEADLINE)? else {
            // It is killed so that it does not outlive the test.
            let _ = handle.kill();
            bail!(
                "{} is not there after {} s",
                program.display(),
                SEND_DEADLINE.as_secs()
            );
        };
        if !output.status.success() {
            bail!(
                "cannot copy {}: {}",
                program.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// Makes a socket of the guest a socket of this machine for as long as the value lives.
    pub(crate) fn forward(&self, local: &Path, remote: &str) -> anyhow::Result<Forward> {
        let mut arguments = self.unshared();
        arguments.extend([
            "-o".to_owned(),
            "ExitOnForwardFailure=yes".to_owned(),
            "-N".to_owned(),
            "-L".to_owned(),
            format!("{}:{remote}", local.display()),
            "rancher@127.0.0.1".to_owned(),
        ]);
        let handle = duct::cmd("ssh", arguments)
            .stdin_null()
            .stdout_null()
            .unchecked()
            .start()
            .context("cannot start ssh")?;
        let forward = Forward(handle);
        let end = Instant::now() + FORWARD_DEADLINE;
        while !local.exists() {
            if Instant::now() > end {
                bail!("ssh does not forward {remote}");
            }
            std::thread::sleep(TRY_AGAIN);
        }
        Ok(forward)
    }

    /// Runs a command until it succeeds.
    pub(crate) fn run_until(&self, command: &str, deadline: Duration) -> anyhow::Result<String> {
        let end = Instant::now() + deadline;
        loop {
            match self.run(command) {
                Ok(output) => return Ok(output),
                Err(error) if Instant::now() > end => {
                    return Err(
                        error.context(format!("still failing after {} s", deadline.as_secs()))
                    );
                }
                Err(_) => std::thread::sleep(TRY_AGAIN),
            }
        }
    }

    /// Waits until a login works.
    pub(crate) fn wait(&self, deadline: Duration) -> anyhow::Result<()> {
        self.run_until("true", deadline)
            .map(drop)
            .context("no login over SSH")
    }
}

/// A port that nobody uses now; QEMU binds it a moment later.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}
