//! A dynamic ELF file that is changed in place: 64 bit, little-endian (elf(5); offsets are those of the ELF-64 structures).

use anyhow::{Context, Result, ensure};
use object::elf;

/// Sizes of the structures.
const SEGMENT: usize = 56;
const SECTION: usize = 64;
const DYNAMIC: usize = 16;
pub(super) const RELOCATION: usize = 24;
pub(super) const SYMBOL: usize = 24;

/// The file. Positions are offsets in it; addresses are those that its segments ask for.
pub(super) struct Program {
    bytes: Vec<u8>,
    dynamic: usize,
}

/// One entry of a relocation table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relocation {
    /// Address of what is changed.
    pub(super) address: u64,
    /// Symbol in the upper half, type in the lower.
    pub(super) info: u64,
    /// What is added.
    pub(super) addend: u64,
}

impl Relocation {
    /// Index of its symbol.
    pub(super) fn symbol(self) -> usize {
        (self.info >> 32) as usize
    }

    /// Its type, which means what the machine says.
    pub(super) fn kind(self) -> u32 {
        self.info as u32
    }
}

/// One entry of the symbol table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    /// Position of the entry.
    pub(super) position: usize,
    /// Offset of its name among the dynamic strings.
    pub(super) name: u32,
    /// Binding in the upper half, type in the lower.
    info: u8,
    /// Section that defines it.
    section: u16,
}

impl Symbol {
    /// Whether another file has to define it.
    pub(super) fn is_undefined(self) -> bool {
        self.section == elf::SHN_UNDEF.0
    }

    /// Whether it is known in this file only.
    pub(super) fn is_local(self) -> bool {
        self.info >> 4 == elf::STB_LOCAL.0
    }

    /// Whether its value is an address, which moves with the file.
    pub(super) fn has_address(self) -> bool {
        !self.is_undefined() && self.section != elf::SHN_ABS.0 && self.info & 0xf != elf::STT_TLS.0
    }
}

impl Program {
    /// Takes a file that has a dynamic segment.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self> {
        ensure!(
            bytes.starts_with(b"\x7fELF\x02\x01"),
            "it is not a 64-bit little-endian ELF file"
        );
        let mut program = Self { bytes, dynamic: 0 };
        let dynamic = program
            .segment(elf::PT_DYNAMIC.0)?
            .context("it has no dynamic segment")?;
        program.dynamic = program.word(dynamic + 8)? as usize;
        Ok(program)
    }

    /// The bytes as they are now.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A program, not a library, that may be loaded at any address.
    pub(super) fn is_position_independent(&self) -> Result<bool> {
        Ok(self.half(16)? == elf::ET_DYN.0 && self.segment(elf::PT_INTERP.0)?.is_some())
    }

    /// `len` bytes.
    pub(super) fn slice(&self, position: usize, len: usize) -> Result<&[u8]> {
        position
            .checked_add(len)
            .and_then(|end| self.bytes.get(position..end))
            .with_context(|| format!("{len} bytes at {position:#x} lie outside the file"))
    }

    /// Replaces bytes.
    pub(super) fn put(&mut self, position: usize, bytes: &[u8]) -> Result<()> {
        self.slice(position, bytes.len())?;
        self.bytes[position..position + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// 16 bits.
    pub(super) fn half(&self, position: usize) -> Result<u16> {
        let bytes = self.slice(position, 2)?;
        Ok(u16::from_le_bytes(bytes.try_into()?))
    }

    /// 32 bits.
    pub(super) fn int(&self, position: usize) -> Result<u32> {
        let bytes = self.slice(position, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    }

    /// 64 bits.
    pub(super) fn word(&self, position: usize) -> Result<u64> {
        let bytes = self.slice(position, 8)?;
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }

    /// Adds to 64 bits.
    pub(super) fn add(&mut self, position: usize, more: u64) -> Result<()> {
        let word = self.word(position)?.wrapping_add(more);
        self.put(position, &word.to_le_bytes())
    }

    /// Positions of the program headers.
    pub(super) fn segments(&self) -> Result<Vec<usize>> {
        let (start, count) = (self.word(32)? as usize, usize::from(self.half(56)?));
        Ok((0..count).map(|index| start + index * SEGMENT).collect())
    }

    /// Position of the first program header of one type.
    fn segment(&self, kind: u32) -> Result<Option<usize>> {
        for position in self.segments()? {
            if self.int(position)? == kind {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Positions of the section headers.
    pub(super) fn sections(&self) -> Result<Vec<usize>> {
        let (start, count) = (self.word(40)? as usize, usize::from(self.half(60)?));
        Ok((0..count).map(|index| start + index * SECTION).collect())
    }

    /// Tells other tools (patchelf) that the section at `address` is `size` bytes long now.
    pub(super) fn resize_section(&mut self, address: u64, size: usize) -> Result<()> {
        for position in self.sections()? {
            let is_there = self.word(position + 16)? == address && self.word(position + 32)? > 0;
            if is_there && self.int(position + 4)? != elf::SHT_NOBITS.0 {
                self.put(position + 32, &(size as u64).to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Where the bytes of an address lie.
    pub(super) fn position(&self, address: u64) -> Result<usize> {
        for segment in self.segments()? {
            if self.int(segment)? != elf::PT_LOAD.0 {
                continue;
            }
            let (offset, start) = (self.word(segment + 8)?, self.word(segment + 16)?);
            if let Some(distance) = address.checked_sub(start)
                && distance < self.word(segment + 32)?
            {
                return Ok((offset + distance) as usize);
            }
        }
        anyhow::bail!("address {address:#x} is in no segment of the file")
    }

    /// Tags and the positions of their values.
    pub(super) fn tags(&self) -> Result<Vec<(i64, usize)>> {
        let mut tags = Vec::new();
        let mut position = self.dynamic;
        loop {
            let tag = self.word(position)? as i64;
            if tag == elf::DT_NULL.0 {
                return Ok(tags);
            }
            tags.push((tag, position + 8));
            position += DYNAMIC;
        }
    }

    /// The value of a tag.
    pub(super) fn tag(&self, wanted: elf::DynamicTag) -> Result<Option<u64>> {
        let tags = self.tags()?;
        let found = tags.iter().find(|(tag, _)| *tag == wanted.0);
        found.map(|(_, position)| self.word(*position)).transpose()
    }

    /// Changes the value of a tag that is there.
    pub(super) fn set_tag(&mut self, wanted: elf::DynamicTag, value: u64) -> Result<()> {
        for (tag, position) in self.tags()? {
            if tag == wanted.0 {
                self.put(position, &value.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Position and entries of a relocation table, given the tags of its address and size.
    pub(super) fn relocations(
        &self,
        table: elf::DynamicTag,
        size: elf::DynamicTag,
    ) -> Result<Vec<(usize, Relocation)>> {
        let (Some(address), Some(size)) = (self.tag(table)?, self.tag(size)?) else {
            return Ok(Vec::new());
        };
        let start = self.position(address)?;
        (0..size as usize / RELOCATION)
            .map(|index| {
                let position = start + index * RELOCATION;
                Ok((
                    position,
                    Relocation {
                        address: self.word(position)?,
                        info: self.word(position + 8)?,
                        addend: self.word(position + 16)?,
                    },
                ))
            })
            .collect()
    }

    /// The dynamic symbols, the empty first one too.
    pub(super) fn symbols(&self) -> Result<Vec<Symbol>> {
        let mut symbols = Vec::new();
        for section in self.sections()? {
            if self.int(section + 4)? != elf::SHT_DYNSYM.0 {
                continue;
            }
            let start = self.word(section + 24)? as usize;
            for index in 0..self.word(section + 32)? as usize / SYMBOL {
                let position = start + index * SYMBOL;
                symbols.push(Symbol {
                    position,
                    name: self.int(position)?,
                    info: self.slice(position + 4, 1)?[0],
                    section: self.half(position + 6)?,
                });
            }
        }
        Ok(symbols)
    }

    /// The dynamic string at an offset of their table.
    pub(super) fn string(&self, offset: u64) -> Result<&[u8]> {
        let table = self.tag(elf::DT_STRTAB)?.context("it has no strings")?;
        let start = self.position(table)? + offset as usize;
        let rest = self.bytes.get(start..).context("a string lies outside")?;
        let end = rest.iter().position(|byte| *byte == 0);
        Ok(&rest[..end.context("a string has no end")?])
    }
}
