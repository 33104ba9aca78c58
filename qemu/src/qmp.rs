//! QEMU's machine protocol, as much as the tests use: commands that return nothing, and why it ended.
//!
//! <https://www.qemu.org/docs/master/interop/qmp-spec.html>: one JSON object a line; a greeting
//! first, then `qmp_capabilities` before anything else.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// QEMU answers at once, unless it is about to die.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// A connection ready for commands.
#[derive(Debug)]
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    /// Why QEMU ends, once it has said so.
    end: Option<String>,
}

impl Qmp {
    /// Negotiates.
    pub(crate) fn new(stream: UnixStream) -> anyhow::Result<Qmp> {
        stream
            .set_read_timeout(Some(ANSWER_DEADLINE))
            .context("cannot set QMP's deadline")?;
        let mut qmp = Qmp {
            reader: BufReader::new(stream),
            end: None,
        };
        qmp.read()?;
        qmp.run("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and waits for its answer; events in between are passed over.
    ///
    /// # Errors
    /// When QEMU refuses the command or is gone.
    pub(crate) fn run(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.reader
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .with_context(|| format!("cannot send {command} to QEMU"))?;
        loop {
            let answer = self.read()?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refused {command}: {error}");
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }

    /// Why QEMU ended, which it must have: `guest-shutdown` (off), `guest-reset` (with `-no-reboot`), ...
    ///
    /// <https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html>, event SHUTDOWN, ShutdownCause. The kernel's own word on
    /// the console proves nothing: its last line is lost when the frame buffer's worker has the console's lock just then.
    ///
    /// # Errors
    /// When QEMU lives on, or ended without a word.
    pub(crate) fn end(&mut self) -> anyhow::Result<&str> {
        while self.end.is_none() {
            self.read().context("QEMU has not said why it ends")?;
        }
        Ok(self.end.as_deref().unwrap_or_default())
    }

    fn read(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        self.reader
            .read_line(&mut line)
            .context("no answer from QEMU")?;
        let message: Value =
            serde_json::from_str(&line).with_context(|| format!("QEMU said {line:?}"))?;
        if message["event"] == "SHUTDOWN" {
            self.end = message["data"]["reason"].as_str().map(str::to_owned);
        }
        Ok(message)
    }
}
