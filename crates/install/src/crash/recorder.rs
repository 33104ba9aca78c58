//! A disk that remembers what was done to it.

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use crate::disk::Disk;

/// What a disk writes as a whole.
pub const SECTOR_BYTES: usize = 512;

/// One sector.
pub type Sector = [u8; SECTOR_BYTES];

/// A disk in RAM of which only what is not zero takes room.
#[derive(Clone, Debug, Default)]
pub struct Sparse {
    sectors: HashMap<u64, Box<Sector>>,
    bytes: u64,
}

impl Sparse {
    /// A disk of zeros.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            sectors: HashMap::new(),
            bytes,
        }
    }

    /// One sector.
    #[must_use]
    pub fn get(&self, sector: u64) -> Sector {
        self.sectors
            .get(&sector)
            .map_or([0; SECTOR_BYTES], |content| **content)
    }

    /// Writes one sector.
    pub fn set(&mut self, sector: u64, content: &Sector) {
        if content.iter().all(|byte| *byte == 0) {
            self.sectors.remove(&sector);
        } else {
            self.sectors.insert(sector, Box::new(*content));
        }
    }
}

/// Something that has sectors.
pub(super) trait Sectors {
    fn sector(&self, number: u64) -> Sector;

    fn bytes(&self, offset: u64, buffer: &mut [u8]) {
        let mut at = 0;
        while at < buffer.len() {
            let place = offset + at as u64;
            let within = (place % SECTOR_BYTES as u64) as usize;
            let part = (SECTOR_BYTES - within).min(buffer.len() - at);
            let sector = self.sector(place / SECTOR_BYTES as u64);
            buffer[at..at + part].copy_from_slice(&sector[within..within + part]);
            at += part;
        }
    }
}

impl Sectors for Sparse {
    fn sector(&self, number: u64) -> Sector {
        self.get(number)
    }
}

/// What happened to the disk.
#[derive(Clone, Debug)]
pub enum Event {
    /// A sector was written.
    Write(u64, Box<Sector>),
    /// Everything before is on the disk.
    Flush,
    /// From here on the machine is to do this after a power cut.
    Expect(super::check::Expect),
    /// A name for what follows.
    Name(&'static str),
}

/// A disk and its story.
#[derive(Debug)]
pub struct Recorder {
    /// The disk as the machine sees it.
    disk: Sparse,
    /// What was done.
    pub events: Vec<Event>,
    /// Seeded fault: flushes are swallowed.
    pub deaf: bool,
}

impl Recorder {
    /// A disk of zeros of this size.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            disk: Sparse::new(bytes),
            events: Vec::new(),
            deaf: false,
        }
    }

    /// A disk as it was left.
    #[must_use]
    pub fn of(disk: Sparse) -> Self {
        Self {
            disk,
            events: Vec::new(),
            deaf: false,
        }
    }
}

impl Disk for Recorder {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset + buffer.len() as u64 > self.disk.bytes {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.disk.bytes(offset, buffer);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset + bytes.len() as u64 > self.disk.bytes {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let unit = SECTOR_BYTES as u64;
        let (first, last) = (offset / unit, (offset + bytes.len() as u64).div_ceil(unit));
        for number in first..last {
            let mut sector = self.disk.get(number);
            let start = number * unit;
            for (at, place) in sector.iter_mut().enumerate() {
                let byte = (start + at as u64).checked_sub(offset);
                if let Some(byte) = byte.and_then(|byte| bytes.get(byte as usize)) {
                    *place = *byte;
                }
            }
            self.disk.set(number, &sector);
            self.events.push(Event::Write(number, Box::new(sector)));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.deaf {
            self.events.push(Event::Flush);
        }
        Ok(())
    }
}
