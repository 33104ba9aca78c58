//! What user data is: a cloud-config, a script, or something this system does not take.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// Most bytes of user data, unpacked; OpenStack allows 64 KiB, a hand-made drive may carry more.
pub const MAX_BYTES: u64 = 4 << 20;

/// First bytes of gzip data (RFC 1952).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// User data by its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// Nothing but white space.
    Empty,
    /// `#cloud-config`, or YAML without that line but with a map that looks like one.
    CloudConfig(String),
    /// `#!`.
    Script(String),
    /// Known to other systems: multi-part MIME, `#include`, `#compose` ...; the first line says which.
    Unsupported(String),
}

/// Unpacks gzip and looks at the first line.
///
/// # Errors
/// Gzip that does not unpack, or to more than [`MAX_BYTES`].
pub fn classify(bytes: &[u8]) -> Result<UserData> {
    let unpacked;
    let bytes = if bytes.starts_with(GZIP_MAGIC) {
        unpacked = gunzip(bytes)?;
        &unpacked
    } else {
        bytes
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(UserData::Unsupported("binary data".to_owned()));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(UserData::Empty);
    }
    let first = text.lines().next().unwrap_or("").trim_end();
    Ok(
        if first == "#cloud-config" || first.starts_with("#cloud-config ") {
            UserData::CloudConfig(text.to_owned())
        } else if first.starts_with("#!") {
            UserData::Script(text.to_owned())
        } else {
            UserData::Unsupported(first.chars().take(80).filter(|c| !c.is_control()).collect())
        },
    )
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(MAX_BYTES + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| Error::Gzip(error.to_string()))?;
    if unpacked.len() as u64 > MAX_BYTES {
        return Err(Error::Gzip(format!("more than {MAX_BYTES} bytes")));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_first_line_decides() {
        let config = "#cloud-config\nhostname: a\n";
        for (bytes, want) in [
            (b"".to_vec(), UserData::Empty),
            (b" \n".to_vec(), UserData::Empty),
            (config.into(), UserData::CloudConfig(config.into())),
            (
                gzip(config.as_bytes()),
                UserData::CloudConfig(config.into()),
            ),
            (
                b"\xef\xbb\xbf#cloud-config\n".to_vec(),
                UserData::CloudConfig("#cloud-config\n".into()),
            ),
            (
                b"#cloud-config\r\na: b".to_vec(),
                UserData::CloudConfig("#cloud-config\r\na: b".into()),
            ),
            (
                b"#!/bin/sh\n".to_vec(),
                UserData::Script("#!/bin/sh\n".into()),
            ),
            (
                b"#include\nhttp://x".to_vec(),
                UserData::Unsupported("#include".into()),
            ),
            (
                b"#cloud-configuration".to_vec(),
                UserData::Unsupported("#cloud-configuration".into()),
            ),
            (
                b"\xff\xfe\x00".to_vec(),
                UserData::Unsupported("binary data".into()),
            ),
        ] {
            assert_eq!(classify(&bytes).unwrap(), want);
        }
    }

    #[test]
    fn a_gzip_bomb_and_broken_gzip_are_refused() {
        let bomb = gzip(&vec![b' '; usize::try_from(MAX_BYTES).unwrap() + 1]);
        assert!(matches!(classify(&bomb), Err(Error::Gzip(_))));
        assert!(matches!(classify(&[0x1f, 0x8b, 8, 0]), Err(Error::Gzip(_))));
    }
}
