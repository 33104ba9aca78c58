//! The three boot records: two copies of the choice, written only by Linux, and the tries, which GRUB counts down.
//!
//! Each is an environment block of GRUB (`grub-core/lib/envblk.c`) of one sector with values of fixed width, so that two
//! records differ in values only, never in places. They lie in a constant FAT12 file system, the envelope: GRUB reads and
//! rewrites them as files, Linux as blocks at fixed offsets, and nobody ever changes the file system.

use std::collections::BTreeMap;

use crc::{CRC_32_ISCSI, Crc};

use crate::disk::{Disk, Memory};
use crate::error::Result;
use crate::fat;
use crate::layout::{MIB, Role};
use crate::slot::Slot;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Bytes of a record: what a disk writes as a whole or not at all.
pub const RECORD_BYTES: usize = 512;
/// Bytes between two records: the largest sector of a disk, so that no write touches two.
pub const BLOCK_BYTES: usize = 4096;
/// Tries that a new version gets. One would take a short loss of power for a bad version.
pub const TRIES: u8 = 3;

/// The content of one record, whatever it is.
pub type Block = [u8; RECORD_BYTES];

/// One of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The choice that rules.
    Choice0,
    /// Its copy, for when the other cannot be read.
    Choice1,
    /// How many tries are left.
    Tries,
}

impl Which {
    /// All of them, in order of their place.
    pub const ALL: [Self; 3] = [Self::Choice0, Self::Choice1, Self::Tries];

    /// Name of the file that GRUB sees.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Choice0 => "CHOICE0",
            Self::Choice1 => "CHOICE1",
            Self::Tries => "TRIES",
        }
    }

    /// Its byte in the partition, constant because the envelope is.
    #[must_use]
    pub const fn offset(self) -> u64 {
        match self {
            Self::Choice0 => 20_480,
            Self::Choice1 => 24_576,
            Self::Tries => 28_672,
        }
    }
}

/// What is to be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Grows with every write and is never used again.
    pub id: u32,
    /// The version that has proven itself.
    pub good: Slot,
    /// The version that is tried.
    pub next: Option<Slot>,
    /// The version that was good before.
    pub prev: Option<Slot>,
}

/// Tries that are left for a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// The choice's id.
    pub id: u32,
    /// From [`TRIES`] down to 0.
    pub left: u8,
}

/// Largest id that has a place: eight digits.
pub(crate) const LARGEST_ID: u32 = 99_999_999;

fn optional(slot: Option<Slot>) -> u32 {
    slot.map_or(0, Slot::number)
}

impl Choice {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Block {
        let text = self.text();
        let crc = CRC.checksum(text.as_bytes());
        record(&format!("{text}crc={crc:08x}\nend={:08}\n", self.id))
    }

    fn text(&self) -> String {
        format!(
            "id={:08}\ngood={}\nnext={}\nprev={}\n",
            self.id,
            self.good,
            optional(self.next),
            optional(self.prev)
        )
    }

    /// The choice of a record that is whole to the last bit, checksum and all; GRUB looks less closely.
    #[must_use]
    pub fn decode(block: &Block) -> Option<Self> {
        let values = values(block);
        let slot = |name: &str| Slot::from_number(values.get(name)?.parse().ok()?);
        let choice = Self {
            id: values.get("id")?.parse().ok()?,
            good: slot("good")?,
            next: slot("next"),
            prev: slot("prev"),
        };
        (choice.encode() == *block).then_some(choice)
    }
}

impl Tries {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Block {
        record(&format!("tid={:08}\nleft={}\n", self.id, self.left))
    }

    /// The tries of a record that is whole.
    #[must_use]
    pub fn decode(block: &Block) -> Option<Self> {
        let values = values(block);
        let tries = Self {
            id: values.get("tid")?.parse().ok()?,
            left: values.get("left")?.parse().ok()?,
        };
        (tries.encode() == *block).then_some(tries)
    }
}

/// A record of this text; ours are far shorter than one.
fn record(text: &str) -> Block {
    let mut block = [b'#'; RECORD_BYTES];
    for (place, byte) in block.iter_mut().zip(SIGNATURE.bytes().chain(text.bytes())) {
        *place = byte;
    }
    block
}

/// An environment block of `length` bytes with these lines.
pub(crate) fn block(lines: &[(&str, &str)], length: usize) -> Result<Vec<u8>> {
    let mut text = SIGNATURE.to_owned();
    for (name, value) in lines {
        text.push_str(&format!("{name}={value}\n"));
    }
    if text.len() > length {
        invalid!(
            "{} bytes do not fit into an environment block of {length}",
            text.len()
        );
    }
    let mut bytes = text.into_bytes();
    bytes.resize(length, b'#');
    Ok(bytes)
}

/// Name and value of each line, as GRUB's `load_env` takes them: the last of a name holds, and what ends early is left out.
pub(crate) fn values(block: &[u8]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let Some(mut rest) = block.strip_prefix(SIGNATURE.as_bytes()) else {
        return values;
    };
    while let Some(first) = rest.first() {
        if *first != b'#' {
            let Some(equals) = rest.iter().position(|byte| *byte == b'=') else {
                break;
            };
            let value = &rest[equals + 1..];
            let Some(end) = end_of_line(value) else { break };
            values.insert(string(&rest[..equals]), string(&unescape(&value[..end])));
            rest = &value[end..];
        }
        let Some(end) = end_of_line(rest) else { break };
        rest = &rest[end + 1..];
    }
    values
}

/// The place of the first line feed that no backslash stands in front of.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'\n' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        plain.extend(if *byte == b'\\' {
            bytes.next()
        } else {
            Some(byte)
        });
    }
    plain
}

/// Up to the first NUL, which ends a text in C.
fn string(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// The three records as they are on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// See [`Which::Choice0`].
    pub choice0: Block,
    /// See [`Which::Choice1`].
    pub choice1: Block,
    /// See [`Which::Tries`].
    pub tries: Block,
}

impl Records {
    /// One of them.
    #[must_use]
    pub fn get(&self, which: Which) -> &Block {
        match which {
            Which::Choice0 => &self.choice0,
            Which::Choice1 => &self.choice1,
            Which::Tries => &self.tries,
        }
    }

    /// Sets one of them.
    pub fn set(&mut self, which: Which, block: Block) {
        match which {
            Which::Choice0 => self.choice0 = block,
            Which::Choice1 => self.choice1 = block,
            Which::Tries => self.tries = block,
        }
    }

    /// The choice that rules: the first that is whole.
    #[must_use]
    pub fn choice(&self) -> Option<Choice> {
        Choice::decode(&self.choice0).or_else(|| Choice::decode(&self.choice1))
    }

    /// Reads them from their partition, which begins at byte `start` of the disk. The envelope around them must be ours.
    ///
    /// # Errors
    /// When the disk cannot be read, or the partition holds something else.
    pub fn read(disk: &mut impl Disk, start: u64) -> Result<Self> {
        let expected = envelope(&Self::blank())?;
        let front = Which::Choice0.offset() as usize;
        let mut bytes = vec![0; front];
        disk.read_at(start, &mut bytes)?;
        if bytes != expected[..front] {
            invalid!("partition {} does not hold boot records", Role::BootState);
        }
        let mut records = Self::blank();
        for which in Which::ALL {
            let mut block = [0; RECORD_BYTES];
            disk.read_at(start + which.offset(), &mut block)?;
            records.set(which, block);
        }
        Ok(records)
    }

    fn blank() -> Self {
        let zeros = [0; RECORD_BYTES];
        Self {
            choice0: zeros,
            choice1: zeros,
            tries: zeros,
        }
    }
}

/// The whole partition with these records.
///
/// # Errors
/// Never, for records of our size.
pub fn envelope(records: &Records) -> Result<Vec<u8>> {
    let volume = fat::Volume::new(MIB, 512, Role::BootState.name(), Role::BootState.number())?;
    let mut disk = Memory(vec![0; MIB as usize]);
    let (mut choice0, mut choice1) = (&records.choice0[..], &records.choice1[..]);
    let mut tries = &records.tries[..];
    let length = RECORD_BYTES as u64;
    let mut files = [
        fat::Source::file(Which::Choice0.file(), &mut choice0, length),
        fat::Source::file(Which::Choice1.file(), &mut choice1, length),
        fat::Source::file(Which::Tries.file(), &mut tries, length),
    ];
    fat::write(&mut disk, 0, &volume, &mut files)?;
    Ok(disk.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps;

    #[test]
    fn records_lie_at_the_constant_places() {
        let mut records = steps::install(Slot::A);
        records.tries = Tries { id: 77, left: 2 }.encode();
        let bytes = envelope(&records).unwrap();
        for which in Which::ALL {
            let at = which.offset() as usize;
            assert_eq!(bytes[at..at + RECORD_BYTES], records.get(which)[..]);
            assert_eq!(
                bytes[at + RECORD_BYTES..at + BLOCK_BYTES],
                [0; BLOCK_BYTES - RECORD_BYTES]
            );
            assert!(at.is_multiple_of(BLOCK_BYTES));
        }
        let mut disk = Memory([vec![0; 4096], bytes].concat());
        assert_eq!(Records::read(&mut disk, 4096).unwrap(), records);
        disk.0[4096 + 100] ^= 1;
        assert!(
            Records::read(&mut disk, 4096).is_err(),
            "a foreign partition was taken"
        );
    }

    #[test]
    fn records_are_read_as_written_and_no_changed_bit_is_taken() {
        let choice = Choice {
            id: 17,
            good: Slot::A,
            next: Some(Slot::B),
            prev: None,
        };
        let block = choice.encode();
        assert_eq!(Choice::decode(&block), Some(choice));
        for bit in 0..8 * RECORD_BYTES {
            let mut changed = block;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Choice::decode(&changed), None, "bit {bit}");
        }
        let tries = Tries { id: 17, left: 2 };
        assert_eq!(Tries::decode(&tries.encode()), Some(tries));
        assert_eq!(Tries::decode(&[0; RECORD_BYTES]), None);
    }

    #[test]
    fn lines_are_taken_as_grub_takes_them() {
        let read = |text: &str| values(format!("{SIGNATURE}{text}").as_bytes());
        assert_eq!(read("a=1\n#c=2\nb=x\\\ny\na=3\nbroken")["a"], "3");
        assert_eq!(read("b=x\\\ny\n")["b"], "x\ny");
        assert!(read("a=unended").is_empty());
        assert_eq!(read("a\nb=1\n").keys().next().unwrap(), "a\nb");
        assert!(values(b"a=1\n").is_empty());
        assert!(values(b"").is_empty());
    }
}
