//! Tar headers: the 512-byte block of ustar, GNU and v7 archives as a typed entry.
//!
//! Source: POSIX.1-2017 pax(1), "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use super::BLOCK;
use oci_image::error::{Error, Result};

/// Offset and length of a piece of data, in bytes.
pub type Extent = (u64, u64);

/// Kind of a tar entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Hard link to an earlier entry.
    HardLink,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Directory.
    Directory,
    /// Named pipe.
    Fifo,
}

/// One file system object of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path as written, without checks.
    pub path: Vec<u8>,
    /// Kind.
    pub kind: Kind,
    /// Permission bits, with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Size of the file's content in bytes.
    pub size: u64,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Device numbers: major, minor.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Data extents (offset, length) of a sparse file; the archive holds only these.
    pub extents: Option<Vec<(u64, u64)>>,
}

impl Entry {
    /// A plain entry owned by root with time 0.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind, mode: u32) -> Self {
        Self {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            extents: None,
        }
    }
}

/// A raw header block whose checksum is right.
pub(crate) struct Block<'a>(&'a [u8; BLOCK]);

impl<'a> Block<'a> {
    /// Checks the checksum; both the unsigned sum and the signed one of old tars count.
    pub(crate) fn check(block: &'a [u8; BLOCK]) -> Result<Self> {
        let expected = parse_number(&block[148..156])?;
        let mut unsigned = 0_i64;
        let mut signed = 0_i64;
        for (position, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&position) {
                b' '
            } else {
                *byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if expected != unsigned && expected != signed {
            return Err(Error::invalid("malformed tar: wrong header checksum"));
        }
        Ok(Self(block))
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    pub(crate) fn size(&self) -> Result<u64> {
        parse_unsigned(&self.0[124..136], "size")
    }

    fn is_gnu(&self) -> bool {
        &self.0[257..265] == b"ustar  \0"
    }

    fn is_ustar(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[0..100]);
        let prefix = until_nul(&self.0[345..500]);
        if self.is_ustar() && !prefix.is_empty() {
            return [prefix, b"/", name].concat();
        }
        name.to_vec()
    }

    /// The four extents in an old GNU sparse header, whether more blocks follow, and the real size.
    pub(crate) fn gnu_sparse(&self) -> Result<(Vec<Extent>, bool, u64)> {
        if !self.is_gnu() {
            return Err(Error::invalid(
                "malformed tar: sparse entry outside the GNU format",
            ));
        }
        let extents = sparse_entries(&self.0[386..482])?;
        let real_size = parse_unsigned(&self.0[483..495], "sparse size")?;
        Ok((extents, self.0[482] != 0, real_size))
    }

    pub(crate) fn entry(&self) -> Result<Entry> {
        let path = self.path();
        let kind = match self.type_flag() {
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(Error::invalid(format!(
                    "unsupported tar entry type {:?} of {}",
                    char::from(other),
                    String::from_utf8_lossy(&path)
                )));
            }
        };
        let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let device = if is_device {
            (
                narrow(parse_unsigned(&self.0[329..337], "device")?, "device")?,
                narrow(parse_unsigned(&self.0[337..345], "device")?, "device")?,
            )
        } else {
            (0, 0)
        };
        Ok(Entry {
            path,
            kind,
            mode: narrow(parse_unsigned(&self.0[100..108], "mode")?, "mode")? & 0o7777,
            uid: narrow(parse_unsigned(&self.0[108..116], "uid")?, "uid")?,
            gid: narrow(parse_unsigned(&self.0[116..124], "gid")?, "gid")?,
            mtime: (parse_number(&self.0[136..148])?, 0),
            size: if kind == Kind::File { self.size()? } else { 0 },
            link: until_nul(&self.0[157..257]).to_vec(),
            device,
            xattrs: Vec::new(),
            extents: None,
        })
    }
}

/// Extents of 24 bytes each (offset, length), up to the first empty one.
pub(crate) fn sparse_entries(bytes: &[u8]) -> Result<Vec<(u64, u64)>> {
    let mut extents = Vec::new();
    for pair in bytes.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        extents.push((
            parse_unsigned(&pair[..12], "sparse offset")?,
            parse_unsigned(&pair[12..], "sparse length")?,
        ));
    }
    Ok(extents)
}

pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

pub(crate) fn narrow(value: u64, field: &str) -> Result<u32> {
    u32::try_from(value)
        .map_err(|_| Error::invalid(format!("malformed tar: {field} {value} is out of range")))
}

fn parse_unsigned(field: &[u8], name: &str) -> Result<u64> {
    u64::try_from(parse_number(field)?)
        .map_err(|_| Error::invalid(format!("malformed tar: negative {name}")))
}

/// A numeric field: octal digits, or base 256 when the first bit is set.
fn parse_number(field: &[u8]) -> Result<i64> {
    let malformed = || Error::invalid("malformed tar: bad number in a header");
    if field[0] & 0x80 != 0 {
        return parse_base256(field).ok_or_else(malformed);
    }
    let digits = until_nul(field).trim_ascii();
    let mut value = 0_i64;
    for digit in digits {
        if !matches!(digit, b'0'..=b'7') {
            return Err(malformed());
        }
        value = value.checked_mul(8).ok_or_else(malformed)? + i64::from(digit - b'0');
    }
    Ok(value)
}

fn parse_base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (position, byte) in field.iter().enumerate() {
        let byte = if position == 0 {
            byte & 0x7f | if negative { 0x80 } else { 0 }
        } else {
            *byte
        };
        value = (value << 8) | i128::from(byte);
        if i64::try_from(value).is_err() {
            return None;
        }
    }
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_encodings() {
        assert_eq!(parse_number(b"0000644\0").unwrap(), 0o644);
        assert_eq!(parse_number(b"   644 \0").unwrap(), 0o644);
        assert_eq!(parse_number(b"\0\0\0\0\0\0\0\0").unwrap(), 0);
        assert_eq!(parse_number(b"77777777777\0").unwrap(), 0o77_777_777_777);
        assert_eq!(parse_number(&[0x80, 0, 0, 0, 0, 0, 1, 0]).unwrap(), 256);
        assert_eq!(parse_number(&[0xff; 12]).unwrap(), -1);
        assert!(parse_number(b"12x\0").is_err());
        assert!(
            parse_number(&[
                0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
            ])
            .is_err()
        );
    }
}
