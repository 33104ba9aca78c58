//! The size of an exec's terminal.

use std::time::Duration;

use engine_api::{Error, Result};
use tokio::sync::watch;

use crate::Engine;

/// How long a client may ask for a size before the exec has started; Docker waits as long. Clients hear that the
/// connection is theirs before there is a process.
const START_MOST: Duration = Duration::from_secs(10);

impl Engine {
    /// `POST /exec/{id}/resize`.
    ///
    /// # Errors
    /// 404; 409 when it or its container does not run; 400 when it could not be started; 500 when it was not.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let exec = self.find_exec(id)?;
        let state = exec.container.record().state.clone();
        state.must_run(&exec.container.id, "exec")?;
        settled(exec.settled.subscribe(), START_MOST).await?;
        let (running, pid) = {
            let state = exec.state.borrow();
            (state.running, state.pid)
        };
        if pid == 0 {
            return Err(Error::bad_parameter("exec process is not started"));
        }
        if !running {
            return Err(Error::conflict(format!("exec {id} is not running")));
        }
        let Some(terminal) = exec.terminal.borrow().clone() else {
            return Ok(());
        };
        sys::tty::set_winsize(&*terminal, height, width)
            .map_err(|error| Error::server(error.to_string()))
    }
}

/// Waits until the exec has started, or has failed to.
async fn settled(mut settled: watch::Receiver<bool>, most: Duration) -> Result<()> {
    match tokio::time::timeout(most, settled.wait_for(|settled| *settled)).await {
        Ok(Ok(_)) => Ok(()),
        // The sender is the exec's.
        _ => Err(Error::server("timeout waiting for exec session ready")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resize_waits_for_the_start() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let sender = watch::Sender::new(false);
            let waiting = settled(sender.subscribe(), START_MOST);
            let (result, ()) = tokio::join!(waiting, async {
                // Both have been polled once by now: the answer was not given at once.
                tokio::task::yield_now().await;
                sender.send_replace(true);
            });
            assert_eq!(result, Ok(()));
            let never = watch::Sender::new(false);
            let error = settled(never.subscribe(), Duration::ZERO)
                .await
                .unwrap_err();
            assert_eq!(error.message, "timeout waiting for exec session ready");
        });
    }
}
