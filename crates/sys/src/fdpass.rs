//! Messages with open files between processes: Unix sockets of type SOCK_SEQPACKET, SCM_RIGHTS (unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::error::{Context, Result};

/// Most files in one message.
pub const MAX_FDS: usize = 8;

/// Longest message that is received, bytes: an error text, a small request.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// A connected pair; both are close-on-exec, messages keep their borders.
///
/// # Errors
/// Too many open files.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .what(|| "open socket pair".into())
}

/// Sends one message with open files. Never raises SIGPIPE.
///
/// # Errors
/// The other side is closed, or (non-blocking) there is no room.
pub fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("more than {MAX_FDS} files in a message"),
        ));
    }
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(message)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result.map(drop)?),
        }
    }
}

/// A received message.
#[derive(Debug, Default)]
pub struct Message {
    /// Its bytes; empty when the other side is closed.
    pub bytes: Vec<u8>,
    /// Its files, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Receives one message. The end of the connection is an empty message.
///
/// # Errors
/// `WouldBlock` on a non-blocking socket with nothing to read; a message longer than [`MAX_MESSAGE`].
pub fn recv(socket: impl AsFd) -> io::Result<Message> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result?,
        }
    };
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("message longer than {MAX_MESSAGE} bytes"),
        ));
    }
    bytes.truncate(received.bytes);
    Ok(Message { bytes, fds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn a_file_passes_and_the_end_is_empty() {
        let (left, right) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        file.rewind().unwrap();
        send(&left, b"take it", &[file.as_fd()]).unwrap();
        send(&left, b"second", &[]).unwrap();
        drop((left, file));
        let mut message = recv(&right).unwrap();
        assert_eq!(message.bytes, b"take it");
        let mut text = String::new();
        std::fs::File::from(message.fds.remove(0))
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "content");
        assert_eq!(recv(&right).unwrap().bytes, b"second");
        let end = recv(&right).unwrap();
        assert!(end.bytes.is_empty() && end.fds.is_empty());
    }

    #[test]
    fn too_long_a_message_is_an_error() {
        let (left, right) = pair().unwrap();
        send(&left, &vec![0; MAX_MESSAGE + 1], &[]).unwrap();
        assert_eq!(recv(&right).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
