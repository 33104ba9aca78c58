//! Execs of the engine itself: the probes of health checks.

use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, ExecConfig, Result};
use sys::process::Signal;

use crate::Engine;
use crate::characters::whole;
use crate::container::Container;

impl Engine {
    /// Runs a command in a container and returns its exit code and the beginning of its output; no code when it took
    /// longer than `timeout` (it is then killed).
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn exec_probe(
        &self,
        container: &Rc<Container>,
        command: Vec<String>,
        timeout: Duration,
        output_max: usize,
    ) -> Result<(Option<i32>, String)> {
        let config = ExecConfig {
            cmd: Some(command),
            attach_stdout: true,
            attach_stderr: true,
            ..ExecConfig::default()
        };
        let exec = self.new_exec(container, config)?;
        exec.state.borrow_mut().started = true;
        exec.probe.set(true);
        self.exec_event(&exec, "exec_create", true);
        let mut session = self.attach_exec(&exec)?;
        self.run_exec(&exec, None).await?;
        let mut output = Vec::new();
        let mut ended = exec.ended.subscribe();
        let finished = async {
            while let Some((_, bytes)) = session.output.recv().await {
                let room = output_max.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            match ended.wait_for(Option::is_some).await {
                Ok(code) => code.ok_or_else(|| Error::server("no exit code")),
                Err(_) => Err(Error::server("no exit code")),
            }
        };
        let ended = tokio::time::timeout(timeout, finished).await;
        let output = String::from_utf8_lossy(&output[..whole(&output)]).into_owned();
        match ended {
            Ok(code) => Ok((Some(code?), output)),
            Err(_) => {
                let process = exec.state.borrow().process.clone();
                if let Some(process) = process {
                    // It may have ended in this moment.
                    let _ = process.pidfd.send_signal(Signal::KILL);
                }
                Ok((None, output))
            }
        }
    }
}
