//! The engine's end of the conversation with the process that sets a container up.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use sys::fdpass;
use sys::readiness::watch;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::protocol::Report;
use crate::{Error, ErrorKind, Result};

/// The engine's end of the control socket.
#[derive(Debug)]
pub(crate) struct Control(AsyncFd<OwnedFd>);

impl Control {
    pub(super) fn new(socket: OwnedFd) -> Result<Control> {
        let other = |e: io::Error| Error::other(format!("control socket: {e}"));
        rustix::io::ioctl_fionbio(&socket, true).map_err(|e| other(e.into()))?;
        Ok(Control(watch(socket, Interest::READABLE).map_err(other)?))
    }

    /// The socket has room for these few bytes: it never waits.
    pub(super) fn send(&self, message: &[u8]) -> Result<()> {
        fdpass::send(&self.0, message, &[])
            .map_err(|e| Error::other(format!("speak to the container's process: {e}")))
    }

    pub(super) async fn recv(&self, deadline: Duration) -> Result<(Report, Vec<OwnedFd>)> {
        let next = async {
            loop {
                let mut ready = self.0.readable().await?;
                if let Ok(result) = ready.try_io(fdpass::recv) {
                    return result;
                }
            }
        };
        match timeout(deadline, next).await {
            Err(_) => Err(Error::new(
                ErrorKind::TimedOut,
                format!(
                    "the container's process has not answered for {} s",
                    deadline.as_secs()
                ),
            )),
            Ok(Err(error)) => Err(Error::other(format!(
                "hear the container's process: {error}"
            ))),
            Ok(Ok(message)) => Ok((Report::decode(&message.bytes)?, message.fds)),
        }
    }
}
