//! A netlink socket: requests with acknowledgement, dumps, and batches (netlink(7)).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::error::{Error, Result};
use super::message::{Attributes, HEADER_LEN, Message, Replies, Reply, align, u32_at};

/// How long one reply of the kernel is waited for: it answers within the `send` in practice, so seconds mean a
/// broken kernel, and PID 1 must not hang on it.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Receive buffer: the kernel's dump datagrams are at most 32 KiB.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Largest batch the kernel is asked to take at once: about 10,000 rules.
const SEND_BYTES: usize = 8 * 1024 * 1024;
/// How often a dump that was interrupted by a change is repeated.
const DUMP_RETRIES: usize = 8;

pub(crate) const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub(crate) const ACK: u16 = libc::NLM_F_ACK as u16;
pub(crate) const DUMP: u16 = libc::NLM_F_DUMP as u16;
pub(crate) const CREATE: u16 = libc::NLM_F_CREATE as u16;
pub(crate) const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
pub(crate) const REPLACE: u16 = libc::NLM_F_REPLACE as u16;
pub(crate) const APPEND: u16 = libc::NLM_F_APPEND as u16;
const DUMP_INTERRUPTED: u16 = 0x10;
const ACK_TLVS: u16 = 0x200;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;
/// `NLMSGERR_ATTR_MSG`: the text of an extended acknowledgement.
const ATTR_MESSAGE: u16 = 1;

/// An unbound netlink socket of the calling thread's network namespace.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub(crate) fn open(protocol: Option<Protocol>, name: &str) -> Result<Self> {
        let what = || format!("open {name} socket");
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(|e| Error::new(what(), e))?;
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&fd, direction, Some(REPLY_TIMEOUT))
                .map_err(|e| Error::new(what(), e))?;
        }
        enable(&fd, libc::NETLINK_EXT_ACK).map_err(|e| Error::new(what(), e))?;
        enable(&fd, libc::NETLINK_CAP_ACK).map_err(|e| Error::new(what(), e))?;
        Ok(Self { fd, sequence: 1 })
    }

    /// Sends a request that the kernel only acknowledges.
    pub(crate) fn request(&mut self, what: &str, message: &mut Message) -> Result<()> {
        self.exchange(what, message, |_| ()).map(|_| ())
    }

    /// Sends a dump (or get) and hands every answer to `each`; repeats a dump that a change interrupted.
    pub(crate) fn dump<T>(
        &mut self,
        what: &str,
        message: &mut Message,
        mut each: impl FnMut(Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>> {
        for _ in 0..DUMP_RETRIES {
            let mut found = Vec::new();
            let consistent = self.exchange(what, message, |reply| found.extend(each(reply)))?;
            if consistent {
                return Ok(found);
            }
        }
        Err(Error::new(
            what,
            io::Error::from(io::ErrorKind::Interrupted),
        ))
    }

    /// Returns false when the kernel says that the dump is inconsistent.
    fn exchange(
        &mut self,
        what: &str,
        message: &mut Message,
        mut each: impl FnMut(Reply<'_>),
    ) -> Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        send(&self.fd, message.finish(sequence), SendFlags::empty())
            .map_err(|e| Error::new(what, e))?;
        let mut buffer = vec![0; RECEIVE_BYTES];
        let mut consistent = true;
        loop {
            let received = self
                .receive(&mut buffer, RecvFlags::empty())
                .map_err(|e| Error::new(what, e))?;
            for reply in Replies(&buffer[..received]).filter(|reply| reply.sequence == sequence) {
                consistent &= reply.flags & DUMP_INTERRUPTED == 0;
                match reply.kind {
                    ERROR | DONE => {
                        return outcome(&reply)
                            .map(|()| consistent)
                            .map_err(|e| e.into_error(what));
                    }
                    _ => each(reply),
                }
            }
        }
    }

    /// Sends `bytes` (whole messages) and collects the kernel's verdicts: (sequence, error). The kernel works a
    /// batch off inside `send`, so that all verdicts are there when it returns.
    pub(crate) fn batch(
        &mut self,
        what: &str,
        bytes: &[u8],
    ) -> Result<Vec<(u32, Option<Refusal>)>> {
        if bytes.len() > SEND_BYTES {
            return Err(Error::invalid(what, "batch is larger than 8 MiB"));
        }
        set_socket_send_buffer_size_force(&self.fd, bytes.len().max(RECEIVE_BYTES) * 2)
            .map_err(|e| Error::new(what, e))?;
        send(&self.fd, bytes, SendFlags::empty()).map_err(|e| Error::new(what, e))?;
        let mut verdicts = Vec::new();
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            match self.receive(&mut buffer, RecvFlags::DONTWAIT) {
                Ok(received) => {
                    let errors = Replies(&buffer[..received]).filter(|reply| reply.kind == ERROR);
                    verdicts.extend(errors.map(|reply| (reply.sequence, outcome(&reply).err())));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(verdicts),
                Err(e) => return Err(Error::new(what, e)),
            }
        }
    }

    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        loop {
            match recv(&self.fd, &mut *buffer, flags | RecvFlags::TRUNC) {
                Ok((_, full)) if full > buffer.len() => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "answer is larger than 64 KiB",
                    ));
                }
                Ok((received, _)) => return Ok(received),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// The kernel's refusal of one message.
#[derive(Debug)]
pub(crate) struct Refusal {
    errno: i32,
    message: Option<String>,
}

impl Refusal {
    pub(crate) fn into_error(self, what: impl Into<String>) -> Error {
        Error {
            what: what.into(),
            message: self.message,
            source: io::Error::from_raw_os_error(self.errno),
        }
    }
}

/// Reads the verdict of an `NLMSG_ERROR` or `NLMSG_DONE` message.
fn outcome(reply: &Reply<'_>) -> std::result::Result<(), Refusal> {
    let code = u32_at(reply.body, 0).map_or(0, u32::cast_signed);
    if code >= 0 {
        return Ok(());
    }
    // NLMSG_ERROR repeats the request's header (NETLINK_CAP_ACK keeps the rest out) before the attributes.
    let skip = if reply.kind == ERROR {
        4 + HEADER_LEN
    } else {
        4
    };
    let message = (reply.flags & ACK_TLVS != 0)
        .then(|| Attributes::after(reply.body, align(skip)).find(|(kind, _)| *kind == ATTR_MESSAGE))
        .flatten()
        .map(|(_, value)| super::message::text(value));
    Err(Refusal {
        errno: code.saturating_neg(),
        message,
    })
}

/// Turns a netlink socket option on.
fn enable(fd: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, `on` outlives the call and its size is the size passed.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
