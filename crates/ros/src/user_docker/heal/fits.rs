//! What a file must be.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use oci_image::Digest;
use serde_json::Value;

use super::bolt;

/// Says what is wrong with a file's content.
pub(super) type Fits<'a> = &'a dyn Fn(&[u8]) -> Result<(), String>;

/// A larger file is not read: it is none that a power cut has emptied. 64 MiB.
const LARGEST_BYTES: u64 = 64 << 20;

/// Whether a file is there and fits.
///
/// # Errors
/// What is wrong with it.
pub(super) fn look(path: &Path, fits: Fits<'_>) -> Result<Option<()>, String> {
    let Some(bytes) = content(path)? else {
        return Ok(None);
    };
    fits(&bytes).map(Some)
}

/// The content of a file; none when it is missing, or too large to be looked at.
///
/// # Errors
/// Why it has none.
pub(super) fn content(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if missing(&error) && fs::symlink_metadata(path).is_err() => return Ok(None),
        Err(error) if missing(&error) => return Err("it is a link to nothing".to_owned()),
        // Something above is not a directory: that is said there.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !metadata.is_file() {
        return Err(format!("it is {}", kind_of(metadata.file_type())));
    }
    if metadata.len() > LARGEST_BYTES {
        return Ok(None);
    }
    fs::read(path).map(Some).map_err(|error| error.to_string())
}

/// What something is that should be something else.
pub(super) fn kind_of(kind: fs::FileType) -> &'static str {
    match kind {
        _ if kind.is_file() => "a file",
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_symlink() => "a link",
        _ => "a device",
    }
}

/// The ways in which a power cut leaves a file, or else `otherwise`.
fn emptied(bytes: &[u8], otherwise: &str) -> String {
    if bytes.is_empty() {
        "it is empty".to_owned()
    } else if bytes.iter().all(|byte| *byte == 0) {
        "it is all zeros".to_owned()
    } else if bytes.contains(&0) {
        "it has zeros in it".to_owned()
    } else {
        otherwise.to_owned()
    }
}

/// A text that is not empty.
pub(super) fn text(bytes: &[u8]) -> Result<(), String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.trim().is_empty() && !text.contains('\0') => Ok(()),
        _ => Err(emptied(bytes, "it is not text")),
    }
}

/// A JSON object.
pub(super) fn object(bytes: &[u8]) -> Result<(), String> {
    value(bytes).and_then(|value| {
        if value.is_object() {
            Ok(())
        } else {
            Err("it is not an object of JSON".to_owned())
        }
    })
}

/// Any JSON.
pub(super) fn value(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes)
        .map_err(|error| emptied(bytes, &format!("it is not JSON: {error}")))
}

/// Where each tag points to (reference/store.go).
pub(super) fn repositories(bytes: &[u8]) -> Result<(), String> {
    let value = value(bytes)?;
    let names = value.get("Repositories").and_then(Value::as_object);
    let is_table = names.is_some_and(|names| {
        names.values().all(|tags| {
            tags.as_object()
                .is_some_and(|tags| tags.values().all(Value::is_string))
        })
    });
    if is_table {
        Ok(())
    } else {
        Err("it is not a table of names".to_owned())
    }
}

/// A database of bbolt; an empty one is made again.
pub(super) fn database(bytes: &[u8]) -> Result<(), String> {
    if bytes.is_empty() {
        return Ok(());
    }
    bolt::check(bytes).map_err(|error| emptied_whole(bytes, &error))
}

/// As [`emptied`], for a file that has zeros in it anyway.
fn emptied_whole(bytes: &[u8], otherwise: &str) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        "it is all zeros".to_owned()
    } else {
        otherwise.to_owned()
    }
}

/// A digest.
pub(super) fn digest(bytes: &[u8]) -> Result<(), String> {
    let is_digest = std::str::from_utf8(bytes)
        .ok()
        .is_some_and(|text| text.trim().parse::<Digest>().is_ok());
    if is_digest {
        Ok(())
    } else {
        Err(emptied(bytes, "it is not a digest"))
    }
}

/// A number of bytes.
pub(super) fn number(bytes: &[u8]) -> Result<(), String> {
    let is_number = std::str::from_utf8(bytes)
        .ok()
        .is_some_and(|text| text.trim().parse::<u64>().is_ok());
    if is_number {
        Ok(())
    } else {
        Err(emptied(bytes, "it is not a number"))
    }
}

/// As [`look`] with [`gzip`], but of a whole file only the ends are read: each layer has one, of up to some megabytes.
pub(super) fn look_gzip(path: &Path) -> Result<Option<()>, String> {
    match ends(path) {
        Ok(ends) if gzip(&ends).is_ok() => Ok(Some(())),
        _ => look(path, &gzip),
    }
}

/// The first and the last bytes of a file.
fn ends(path: &Path) -> std::io::Result<Vec<u8>> {
    const EACH: usize = 18;
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into()); // a pipe would wait for a writer
    }
    let mut file = fs::File::open(path)?;
    let mut ends = vec![0; 2 * EACH];
    file.read_exact(&mut ends[..EACH])?;
    file.seek(SeekFrom::End(-(EACH as i64)))?;
    file.read_exact(&mut ends[EACH..])?;
    Ok(ends)
}

/// A file of gzip (RFC 1952): its head, and that its end is not zeros.
fn gzip(bytes: &[u8]) -> Result<(), String> {
    let end = bytes.get(bytes.len().saturating_sub(8)..).unwrap_or(&[]);
    if bytes.len() >= 18 && bytes.starts_with(&[0x1f, 0x8b, 8]) && end.iter().any(|byte| *byte != 0)
    {
        Ok(())
    } else {
        Err(emptied_whole(
            bytes,
            if bytes.is_empty() {
                "it is empty"
            } else {
                "it is not a whole file of gzip"
            },
        ))
    }
}
