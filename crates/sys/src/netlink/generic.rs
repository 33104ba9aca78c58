//! Generic netlink: families of messages that kernel modules bring, found by their names (`linux/genetlink.h`).

use rustix::net::netlink;

use super::error::{Error, Result};
use super::message::{Attributes, Message, u16_at};
use super::socket::{ACK, REQUEST, Socket};

/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROLLER: u16 = 0x10;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Length of `struct genlmsghdr`.
pub(super) const HEADER_LEN: usize = 4;

/// A socket for the messages of one family.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) socket: Socket,
    id: u16,
    version: u8,
}

impl Family {
    /// Finds the family called `name` in the calling thread's network namespace; the kernel loads its module.
    ///
    /// # Errors
    /// `ENOENT` when the kernel does not have it.
    pub(super) fn open(name: &str, version: u8) -> Result<Self> {
        let what = format!("find netlink family {name}");
        let mut socket = Socket::open(Some(netlink::GENERIC), "generic netlink")?;
        let header = [CTRL_CMD_GETFAMILY, 2, 0, 0];
        let mut message = Message::new(CONTROLLER, REQUEST | ACK, &header);
        message.attr_str(CTRL_ATTR_FAMILY_NAME, name);
        let found = socket.dump(&what, &mut message, |reply| {
            let is_family = reply.body.first() == Some(&CTRL_CMD_NEWFAMILY);
            let (_, id) = Attributes::after(reply.body, HEADER_LEN)
                .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
                .filter(|_| is_family)?;
            u16_at(id, 0)
        })?;
        let id = found
            .first()
            .ok_or_else(|| Error::invalid(what, "the kernel named no number"))?;
        Ok(Self {
            socket,
            id: *id,
            version,
        })
    }

    /// A message of the family with this command.
    pub(super) fn message(&self, command: u8, flags: u16) -> Message {
        Message::new(self.id, flags, &[command, self.version, 0, 0])
    }
}
