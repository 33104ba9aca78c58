//! `init network`: the engine's one child for what strangers send: questions to the embedded DNS, and connections to
//! published ports that the kernel does not translate.
//!
//! PID 1 binds these sockets, because the answer to a client depends on it, hands them over unread ([`fdpass`]) and
//! closes its own copies. The child has no capability, the user nobody and a short list of system calls
//! ([`confine`]). It learns names and addresses from the engine ([`command`]), ends with it, and is started again with
//! all tables when it dies ([`client`], [`link`]).
//!
//! [`fdpass`]: sys::fdpass

pub(super) mod client;
mod command;
mod confine;
pub(super) mod link;
mod proxy;
mod serve;
mod tables;

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) use command::{Command, NAME_MAX, NAMES_MAX, Servers};
pub use link::{HandedOver, Launcher};
pub use serve::main;

/// Descriptor of the control socket in the child.
const CONTROL_FD: i32 = 3;

/// An end of the control socket, in the event loop.
#[expect(
    deprecated,
    reason = "its successor is unsafe to call, for descriptors that can be closed meanwhile; an OwnedFd cannot"
)]
fn watched(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    AsyncFd::with_interest(socket, Interest::READABLE)
}
