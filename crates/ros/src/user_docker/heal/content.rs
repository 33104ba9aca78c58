//! What a layer holds, compared with Docker's record of the archive that it was unpacked from: `tar-split.json.gz` has the size
//! and the checksum of each file (vbatts/tar-split, `tar/storage/entry.go` and `tar/asm/disassemble.go`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crc::{CRC_64_GO_ISO, Crc};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sys::regular;
use sys::rooted::Root;

/// The checksum of tar-split: Go's `crc64.ISO`.
const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_GO_ISO);
/// `storage.FileType`: an entry of the archive. The others are bytes between them.
const FILE: u64 = 1;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// One line of the record.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(default)]
    name: String,
    /// A name that is not UTF-8, in base64: not looked at.
    #[serde(default)]
    size: u64,
    /// The checksum's bytes, in base64.
    #[serde(default)]
    payload: Option<String>,
}

/// A file as it was unpacked.
struct Unpacked {
    size: u64,
    sum: u64,
}

/// Whether the files of a layer are what was unpacked; `diff` is the directory with them.
///
/// # Errors
/// The first file that is not, and why; or that the record cannot be read.
pub(super) fn look(record: &Path, diff: &Path) -> Result<(), String> {
    let files = files(record).map_err(|error| format!("its tar-split.json.gz: {error}"))?;
    let root = Root::open(diff).map_err(|error| error.to_string())?;
    for (path, unpacked) in files {
        let found = sum(&root, &path).map_err(|error| error.to_string())?;
        let why = match found {
            (size, _) if size != unpacked.size => {
                format!("it has {size} bytes of {}", unpacked.size)
            }
            (_, sum) if sum != unpacked.sum => "its content is another".to_owned(),
            _ => continue,
        };
        return Err(format!("its file {}: {why}", path.display()));
    }
    Ok(())
}

/// The files with content; of two entries with one name the later one was unpacked last.
fn files(record: &Path) -> std::io::Result<BTreeMap<PathBuf, Unpacked>> {
    let text = BufReader::new(MultiGzDecoder::new(BufReader::new(File::open(record)?)));
    let mut files = BTreeMap::new();
    for line in serde_json::Deserializer::from_reader(text).into_iter::<Line>() {
        let line = line?;
        if line.kind != FILE || line.name.is_empty() {
            continue;
        }
        let path = PathBuf::from(line.name.trim_end_matches('/'));
        match line.payload.as_deref().and_then(checksum) {
            Some(sum) if line.size > 0 => {
                let size = line.size;
                files.insert(path, Unpacked { size, sum });
            }
            // A directory, a link, an empty file.
            _ => {
                files.remove(&path);
            }
        }
    }
    Ok(files)
}

fn checksum(base64: &str) -> Option<u64> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .ok()?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Length and checksum of a file, whose links are followed inside the layer, as at its unpacking.
fn sum(root: &Root, path: &Path) -> sys::Result<(u64, u64)> {
    let mut file = regular::open_in(root, path)?;
    let (mut digest, mut size) = (CRC.digest(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match file.read(&mut chunk) {
            Ok(0) => return Ok((size, digest.finalize())),
            Ok(length) => length,
            Err(error) => {
                return Err(sys::Error::other(
                    format!("read {}", path.display()),
                    error.to_string(),
                ));
            }
        };
        size += length as u64;
        digest.update(chunk.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_gos() {
        // crc64_test.go of Go: the sum of "a" with the table ISO.
        assert_eq!(CRC.checksum(b"a"), 0x3420_0000_0000_0000);
        assert_eq!(checksum("NCAAAAAAAAA="), Some(0x3420_0000_0000_0000));
    }
}
