//! Pax extended headers: `LENGTH KEY=VALUE\n` records that override or add to the next entry's header.
//!
//! Source: POSIX.1-2017 pax(1), "pax Extended Header".

use super::header::{Entry, Kind, narrow};
use super::sparse::SparsePax;
use oci_image::error::{Error, Result};

/// Largest value of one extended attribute in bytes (the kernel's XATTR_SIZE_MAX).
const XATTR_VALUE_MAX: usize = 65_536;
/// Most extended attributes of one entry.
const XATTRS_MAX: usize = 256;
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What an extended header says about the next entry.
#[derive(Default)]
pub(crate) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: SparsePax,
}

impl Extensions {
    /// Parses the records of one extended header.
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Self> {
        let mut extensions = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = split_record(bytes).ok_or_else(|| malformed("record"))?;
            extensions.add(key, value)?;
            bytes = rest;
        }
        Ok(extensions)
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(narrow(number(value)?, "uid")?),
            b"gid" => self.gid = Some(narrow(number(value)?, "gid")?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    self.add_xattr(name, value)?;
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.add(name, value)?;
                }
            }
        }
        Ok(())
    }

    fn add_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        if name.is_empty()
            || name.contains(&0)
            || value.len() > XATTR_VALUE_MAX
            || self.xattrs.len() >= XATTRS_MAX
        {
            return Err(malformed("extended attribute"));
        }
        self.xattrs.retain(|(known, _)| known != name);
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    /// Long names of the GNU format.
    pub(crate) fn set_path(&mut self, path: Vec<u8>) {
        self.path = Some(path);
    }

    /// Long link names of the GNU format.
    pub(crate) fn set_link(&mut self, link: Vec<u8>) {
        self.link = Some(link);
    }

    /// Puts what was said here into the entry.
    pub(crate) fn apply(&mut self, entry: &mut Entry) {
        let override_with = |field: &mut Vec<u8>, value: Option<Vec<u8>>| {
            if let Some(value) = value {
                *field = value;
            }
        };
        override_with(&mut entry.path, self.path.take());
        override_with(&mut entry.link, self.link.take());
        if let Some(name) = self.sparse.name.take() {
            entry.path = name;
        }
        entry.uid = self.uid.unwrap_or(entry.uid);
        entry.gid = self.gid.unwrap_or(entry.gid);
        entry.mtime = self.mtime.unwrap_or(entry.mtime);
        entry.xattrs.append(&mut self.xattrs);
        if entry.kind == Kind::File {
            entry.size = self.size.unwrap_or(entry.size);
        }
    }
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?;
    let rest = bytes.get(length..)?;
    let record = record.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

fn malformed(what: &str) -> Error {
    Error::invalid(format!("malformed tar: bad {what} in an extended header"))
}

/// A decimal number of an extended header.
pub(crate) fn number(value: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(value).map_err(|_| malformed("number"))?;
    text.parse().map_err(|_| malformed("number"))
}

/// Seconds with an optional fraction; digits past nanoseconds are dropped.
fn time(value: &[u8]) -> Result<(i64, u32)> {
    let text = std::str::from_utf8(value).map_err(|_| malformed("time"))?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = seconds.starts_with('-');
    let seconds: i64 = seconds.parse().map_err(|_| malformed("time"))?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed("time"));
    }
    let mut nanoseconds = 0_u32;
    for position in 0..9 {
        let digit = fraction.as_bytes().get(position).map_or(0, |b| b - b'0');
        nanoseconds = nanoseconds * 10 + u32::from(digit);
    }
    if negative && nanoseconds > 0 {
        return Ok((seconds.saturating_sub(1), 1_000_000_000 - nanoseconds));
    }
    Ok((seconds, nanoseconds))
}

/// One record in its written form.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let content = key.len() + value.len() + 3; // space, equals sign, newline
    let mut length = content + 1;
    while length != content + length.to_string().len() {
        length = content + length.to_string().len();
    }
    let mut record = format!("{length} ").into_bytes();
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_records_read_back() {
        for length in [1, 84, 85, 86, 87, 88, 89, 90, 980, 985, 990, 995] {
            let value = vec![b'v'; length];
            let record = record(b"path", &value);
            let (key, read, rest) = split_record(&record).unwrap();
            assert_eq!((key, read, rest), (&b"path"[..], &value[..], &b""[..]));
        }
    }

    #[test]
    fn times_before_and_after_the_epoch() {
        assert_eq!(time(b"1.5").unwrap(), (1, 500_000_000));
        assert_eq!(time(b"-1.25").unwrap(), (-2, 750_000_000));
        assert_eq!(time(b"7").unwrap(), (7, 0));
        assert!(time(b"x").is_err());
        assert!(time(b"1.x").is_err());
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"99 path=x\n",
            b"3 =\n",
            b"0 \n",
            b"-1 a=b\n",
            b"8 abcde\n",
            b"18446744073709551615 a=b\n",
        ] {
            assert!(
                Extensions::parse(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }
}
