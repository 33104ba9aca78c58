//! Encoding and decoding of netlink messages and their attributes (netlink(7)). Pure: no I/O.

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER_LEN: usize = 16;
/// Length of `struct nlattr`.
const ATTR_HEADER_LEN: usize = 4;
/// `NLA_F_NESTED`: the attribute holds attributes.
const NESTED: u16 = 0x8000;
/// Mask that leaves an attribute's type (`NLA_TYPE_MASK`).
const TYPE_MASK: u16 = 0x3fff;

/// Rounds up to the alignment of messages and attributes (4 bytes).
pub(crate) const fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// A message under construction: `nlmsghdr`, the family's fixed header, attributes.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of type `kind` with `flags` (`NLM_F_*`) and the family's fixed `header`.
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        let mut message = Self { bytes };
        message.append(header);
        message
    }

    /// Appends raw bytes, padded to the alignment (a fixed header inside a nested attribute).
    pub(crate) fn append(&mut self, raw: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(raw);
        self.bytes.resize(align(self.bytes.len()), 0);
        self
    }

    /// Appends an attribute.
    pub(crate) fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = u16::try_from(ATTR_HEADER_LEN + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.append(value)
    }

    /// Appends a byte attribute.
    pub(crate) fn attr_u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.attr(kind, &[value])
    }

    /// Appends a 16-bit attribute in host order.
    pub(crate) fn attr_u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends a 32-bit attribute in host order (rtnetlink).
    pub(crate) fn attr_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends a 32-bit attribute in network order (nf_tables).
    pub(crate) fn attr_be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends a string attribute with its terminating NUL.
    pub(crate) fn attr_str(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// Appends an attribute whose value is written by `fill`.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let len = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// The bytes to send, with `sequence` and the length filled in.
    pub(crate) fn finish(&mut self, sequence: u32) -> &[u8] {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        &self.bytes
    }
}

/// One received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// What follows `nlmsghdr`.
    pub(crate) body: &'a [u8],
}

/// Iterates over the messages of one datagram; stops at the first malformed one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replies<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Replies<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        let len = u32_at(self.0, 0)? as usize;
        if len < HEADER_LEN || len > self.0.len() {
            return None;
        }
        let reply = Reply {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            sequence: u32_at(self.0, 8)?,
            body: &self.0[HEADER_LEN..len],
        };
        self.0 = self.0.get(align(len)..).unwrap_or_default();
        Some(reply)
    }
}

/// Iterates over attributes as (type without flag bits, value); stops at the first malformed one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes behind a fixed header of `header` bytes.
    pub(crate) fn after(body: &'a [u8], header: usize) -> Self {
        Self(body.get(align(header)..).unwrap_or_default())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let len = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & TYPE_MASK;
        if len < ATTR_HEADER_LEN || len > self.0.len() {
            return None;
        }
        let value = &self.0[ATTR_HEADER_LEN..len];
        self.0 = self.0.get(align(len)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// Reads a host-order `u16`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        bytes.get(offset..offset + 2)?.try_into().ok()?,
    ))
}

/// Reads a host-order `u32`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

/// Reads a NUL-terminated string attribute.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut message = Message::new(16, 5, &[7; 3]);
        message.attr_str(3, "eth0").nest(18, |m| {
            m.attr_u32(1, 9);
        });
        let bytes = message.finish(42).to_vec();
        let reply = Replies(&bytes).next().unwrap();
        assert_eq!((reply.kind, reply.flags, reply.sequence), (16, 5, 42));
        let attrs: Vec<_> = Attributes::after(reply.body, 3).collect();
        assert_eq!(attrs[0], (3, &b"eth0\0"[..]));
        assert_eq!(attrs[1].0, 18);
        assert_eq!(
            Attributes(attrs[1].1).next(),
            Some((1, &9u32.to_ne_bytes()[..]))
        );
    }

    #[test]
    fn malformed_input_ends_the_iteration() {
        for junk in [
            &[][..],
            &[1, 2],
            &[0; 40],
            &[0xff; 40],
            &[3, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(Replies(junk).count(), 0);
            assert_eq!(Attributes(junk).count(), 0);
        }
    }
}
