//! The handle on rtnetlink(7): links, addresses and routes are asked for through it.

use super::error::Result;
use super::socket::Socket;

/// A handle on rtnetlink in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Rtnetlink {
    socket: Socket,
}

impl Rtnetlink {
    /// Opens a `NETLINK_ROUTE` socket (protocol 0, so it has no constant in rustix).
    ///
    /// # Errors
    /// When the process is out of descriptors or the kernel has no netlink.
    pub fn open() -> Result<Self> {
        Ok(Self {
            socket: Socket::open(None, "rtnetlink")?,
        })
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}
