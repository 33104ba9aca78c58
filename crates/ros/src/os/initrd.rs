//! Files of an initrd: a cpio archive (the kernel's driver-api/early-userspace/buffer-format), compressed by zstd.
//!
//! Behind it may be a second one, not compressed, with a program of PID 1's that was kept: the kernel unpacks one after the other, so
//! that its file takes the place of the first one's.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use anyhow::{Context as _, bail, ensure};
use ruzstd::decoding::StreamingDecoder;

/// `struct cpio_newc_header`: a magic number and 13 numbers of 8 hexadecimal digits.
const HEADER_BYTES: usize = 6 + 13 * 8;
const MAGIC: &[u8] = b"070701";
/// Places of numbers in the header.
const MODE: usize = 1;
const LINKS: usize = 4;
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;
/// Names and contents begin at multiples of this.
const ALIGNMENT: usize = 4;
/// What the last entry is called.
const TRAILER: &str = "TRAILER!!!";
/// Longest name, in bytes.
const NAME_MAX: usize = 4096;
/// Largest file, in bytes: PID 1 has 9 MB.
const FILE_MAX: usize = 256 << 20;

/// PID 1's program.
pub(super) const PROGRAM: &str = "init";
/// A regular file that its owner may write and everybody execute.
const PROGRAM_MODE: usize = 0o100_755;

/// The files with these names, without a leading slash.
///
/// # Errors
/// When one of them is not there, or this is not such an archive.
pub(super) fn files(
    initrd: &[u8],
    names: &[&'static str],
) -> anyhow::Result<BTreeMap<&'static str, Vec<u8>>> {
    let (mut found, length) = first(initrd, names)?;
    let mut rest = &initrd[length..];
    while let [0, after @ ..] = rest {
        rest = after;
    }
    if !rest.is_empty() {
        found.extend(read(rest, names).context("the initrd cannot be read")?);
    }
    for name in names {
        ensure!(found.contains_key(name), "the initrd has no /{name}");
    }
    Ok(found)
}

/// The same initrd with `program` as PID 1's program, in place of one that was given to it so before.
///
/// # Errors
/// When this is not such an archive.
pub(super) fn with_program(initrd: &[u8], program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (_, length) = first(initrd, &[])?;
    let mut whole = initrd[..length].to_vec();
    whole.resize(length.next_multiple_of(ALIGNMENT), 0);
    whole.extend(entry(PROGRAM, PROGRAM_MODE, program));
    whole.extend(entry(TRAILER, 0, &[]));
    Ok(whole)
}

/// One file of an archive, as root's with the time 0.
fn entry(name: &str, mode: usize, content: &[u8]) -> Vec<u8> {
    let mut numbers = [0; 13];
    numbers[MODE] = mode;
    numbers[LINKS] = 1;
    numbers[FILE_SIZE] = content.len();
    numbers[NAME_SIZE] = name.len() + 1;
    let mut bytes = MAGIC.to_vec();
    for number in numbers {
        bytes.extend(format!("{number:08x}").bytes());
    }
    bytes.extend(name.bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

/// Files of the compressed archive, and how many bytes it has.
fn first(
    initrd: &[u8],
    names: &[&'static str],
) -> anyhow::Result<(BTreeMap<&'static str, Vec<u8>>, usize)> {
    let mut rest = initrd;
    let decoder = StreamingDecoder::new(&mut rest)
        .map_err(|error| anyhow::anyhow!("the initrd is not compressed by zstd: {error}"))?;
    let mut archive = BufReader::new(decoder);
    let found = read(&mut archive, names).context("the initrd cannot be read")?;
    // What fills the archive up, and the end of the compressed data
    std::io::copy(&mut archive, &mut std::io::sink()).context("the initrd cannot be read")?;
    drop(archive);
    Ok((found, initrd.len() - rest.len()))
}

fn read(
    mut archive: impl Read,
    names: &[&'static str],
) -> anyhow::Result<BTreeMap<&'static str, Vec<u8>>> {
    let mut found = BTreeMap::new();
    loop {
        let mut header = [0; HEADER_BYTES];
        archive.read_exact(&mut header).context("it is cut off")?;
        ensure!(header.starts_with(MAGIC), "it is not a cpio archive");
        let (name_bytes, bytes) = (number(&header, NAME_SIZE)?, number(&header, FILE_SIZE)?);
        ensure!(
            name_bytes <= NAME_MAX && bytes <= FILE_MAX,
            "it has a file of {bytes} bytes"
        );
        let name = take(&mut archive, name_bytes, HEADER_BYTES)?;
        let name = String::from_utf8_lossy(&name);
        let name = name.trim_end_matches('\0');
        if name == TRAILER {
            return Ok(found);
        }
        let content = take(&mut archive, bytes, 0)?;
        if let Some(name) = names.iter().find(|wanted| **wanted == name) {
            found.insert(*name, content);
        }
    }
}

fn number(header: &[u8], place: usize) -> anyhow::Result<usize> {
    let start = MAGIC.len() + place * 8;
    let digits = std::str::from_utf8(&header[start..start + 8]).unwrap_or_default();
    match usize::from_str_radix(digits, 16) {
        Ok(number) => Ok(number),
        Err(_) => bail!("{digits:?} is not a number"),
    }
}

/// Reads so many bytes, and what fills them up; `before` bytes of the entry have been read.
fn take(archive: &mut impl Read, bytes: usize, before: usize) -> anyhow::Result<Vec<u8>> {
    let whole = (before + bytes).next_multiple_of(ALIGNMENT) - before;
    let mut content = vec![0; whole];
    archive.read_exact(&mut content).context("it is cut off")?;
    content.truncate(bytes);
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        super::entry(name, 0o100_644, content)
    }

    fn compress(archive: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(archive, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn named_files_are_found_whatever_their_length() {
        let whole = [
            entry("lib", b""),
            entry("init", b"12345"),
            entry("etc/os-release", b"abcd"),
            entry(TRAILER, b""),
        ]
        .concat();
        let found = files(&compress(&whole), &["init", "etc/os-release"]).unwrap();
        assert_eq!(found["init"], b"12345");
        assert_eq!(found["etc/os-release"], b"abcd");
        let missing = files(&compress(&whole), &["worker"]).unwrap_err();
        assert_eq!(missing.to_string(), "the initrd has no /worker");
        let cut = files(&compress(&whole[..whole.len() / 2]), &["init"]).unwrap_err();
        assert!(format!("{cut:#}").contains("cut off"), "{cut:#}");
        for nonsense in [compress(&[b'x'; 500]), b"nonsense".to_vec(), Vec::new()] {
            assert!(files(&nonsense, &["init"]).is_err());
        }
    }

    #[test]
    fn a_kept_program_takes_the_place_of_the_first_and_of_one_kept_before() {
        let archive = [
            entry("init", b"first"),
            entry("worker", b"w"),
            entry(TRAILER, b""),
            vec![0; 300],
        ]
        .concat();
        let installed = compress(&archive);
        let kept = with_program(&installed, b"second").unwrap();
        assert!(kept.starts_with(&installed));
        let found = files(&kept, &["init", "worker"]).unwrap();
        assert_eq!(
            (&*found["init"], &*found["worker"]),
            (&b"second"[..], &b"w"[..])
        );
        let again = with_program(&kept, b"third").unwrap();
        assert_eq!(files(&again, &["init"]).unwrap()["init"], b"third");
        assert!(again.len() <= kept.len());
        // The kernel looks for an archive at multiples of four bytes only
        let behind = &again[installed.len()..];
        let begin = behind.windows(MAGIC.len()).position(|bytes| bytes == MAGIC);
        assert_eq!((installed.len() + begin.unwrap()) % ALIGNMENT, 0);
        let mut cut = kept.clone();
        cut.truncate(kept.len() - 200);
        assert!(files(&cut, &["init"]).is_err());
    }
}
