//! Drops the symbols that a program offers and nobody takes.
//!
//! Debian's dockerd, containerd and shim offer all their functions to plugins in Go, which would have to be built with
//! them: 424,000 names, 9 MB of the image as zstd packs them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use object::elf;

use super::program::{Program, SYMBOL, Symbol};

/// Names, as the loader compares them.
pub(crate) type Names = BTreeSet<Vec<u8>>;

/// Names that a file takes from others.
pub(super) fn imports(program: &Program) -> Result<Names> {
    let symbols = program.symbols()?;
    symbols
        .iter()
        .filter(|symbol| symbol.is_undefined())
        .map(|symbol| Ok(program.string(symbol.name.into())?.to_vec()))
        .collect()
}

/// Keeps what the program itself refers to and what is among `imported`. Tables stay where they are and become shorter.
///
/// # Errors
/// When the file has tables that are not known here; then it must be used as it was.
pub(super) fn drop_exports(program: &mut Program, imported: &Names) -> Result<()> {
    for (tag, name) in [
        (elf::DT_HASH, "hash table of System V"),
        (elf::DT_VERDEF, "its own versions"),
    ] {
        ensure!(program.tag(tag)?.is_none(), "it has a {name}");
    }
    let symbols = program.symbols()?;
    let order = kept(program, &symbols, imported)?;
    if order.len() == symbols.len() {
        return Ok(());
    }
    let first_export = order
        .iter()
        .position(|index| *index > 0 && !symbols[*index].is_undefined())
        .unwrap_or(order.len());
    let mut strings = Strings::default();
    let table: Vec<Vec<u8>> = order
        .iter()
        .map(|index| {
            let symbol = symbols[*index];
            let mut bytes = program.slice(symbol.position, SYMBOL)?.to_vec();
            let name = strings.add(program.string(symbol.name.into())?);
            bytes[..4].copy_from_slice(&name.to_le_bytes());
            Ok(bytes)
        })
        .collect::<Result<_>>()?;
    let hashes: Vec<u32> = order[first_export..]
        .iter()
        .map(|index| Ok(gnu_hash(program.string(symbols[*index].name.into())?)))
        .collect::<Result<_>>()?;
    let versions: Vec<u8> = match program.tag(elf::DT_VERSYM)? {
        Some(address) => {
            let start = program.position(address)?;
            let version = |index: &usize| Ok(program.half(start + 2 * index)?.to_le_bytes());
            let versions: Result<Vec<[u8; 2]>> = order.iter().map(version).collect();
            versions?.concat()
        }
        None => Vec::new(),
    };
    renumber(program, &order)?;
    move_strings(program, &mut strings)?;
    replace(
        program,
        elf::DT_SYMTAB,
        symbols.len() * SYMBOL,
        &table.concat(),
    )?;
    replace(program, elf::DT_VERSYM, symbols.len() * 2, &versions)?;
    let hash_table = hash_table(first_export, &hashes);
    let old = section_size(program, elf::DT_GNU_HASH)?;
    replace(program, elf::DT_GNU_HASH, old, &hash_table)?;
    let old = program
        .tag(elf::DT_STRSZ)?
        .context("its strings have no size")?;
    program.set_tag(elf::DT_STRSZ, strings.bytes.len() as u64)?;
    replace(program, elf::DT_STRTAB, old as usize, &strings.bytes)
}

/// Old indices in their new order: undefined symbols, then those that are offered, as the hash table wants it.
fn kept(program: &Program, symbols: &[Symbol], imported: &Names) -> Result<Vec<usize>> {
    let mut referred = BTreeSet::new();
    for (table, size) in TABLES {
        referred.extend(
            program
                .relocations(table, size)?
                .iter()
                .map(|(_, relocation)| relocation.symbol()),
        );
    }
    let (mut undefined, mut offered) = (vec![0], Vec::new());
    for (index, symbol) in symbols.iter().enumerate().skip(1) {
        if symbol.is_undefined() {
            undefined.push(index);
        } else if referred.contains(&index)
            || imported.contains(program.string(symbol.name.into())?)
        {
            ensure!(!symbol.is_local(), "a relocation uses a local symbol");
            offered.push(index);
        }
    }
    undefined.append(&mut offered);
    Ok(undefined)
}

/// Relocation tables: tags of address and size.
const TABLES: [(elf::DynamicTag, elf::DynamicTag); 2] = [
    (elf::DT_RELA, elf::DT_RELASZ),
    (elf::DT_JMPREL, elf::DT_PLTRELSZ),
];

/// Gives relocations the new indices of their symbols.
fn renumber(program: &mut Program, order: &[usize]) -> Result<()> {
    let new: BTreeMap<usize, u64> = order.iter().copied().zip(0..).collect();
    for (table, size) in TABLES {
        for (position, relocation) in program.relocations(table, size)? {
            let symbol = new
                .get(&relocation.symbol())
                .context("a relocation's symbol is not there")?;
            let info = symbol << 32 | u64::from(relocation.kind());
            program.put(position + 8, &info.to_le_bytes())?;
        }
    }
    Ok(())
}

/// A new table of strings, each there once.
struct Strings {
    bytes: Vec<u8>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            bytes: vec![0], // the empty string
        }
    }
}

impl Strings {
    /// The offset of a string.
    fn add(&mut self, string: &[u8]) -> u32 {
        let string = [string, &[0]].concat();
        // The end of a longer one will do, as linkers have it.
        let there = self
            .bytes
            .windows(string.len())
            .position(|there| there == string);
        let offset = there.unwrap_or(self.bytes.len()) as u32;
        if there.is_none() {
            self.bytes.extend_from_slice(&string);
        }
        offset
    }
}

/// Puts the strings that are not the name of a symbol into the new table: libraries, search path, versions.
fn move_strings(program: &mut Program, strings: &mut Strings) -> Result<()> {
    for (tag, position) in program.tags()? {
        if [
            elf::DT_NEEDED,
            elf::DT_SONAME,
            elf::DT_RPATH,
            elf::DT_RUNPATH,
        ]
        .iter()
        .any(|named| named.0 == tag)
        {
            let offset = strings.add(program.string(program.word(position)?)?);
            program.put(position, &u64::from(offset).to_le_bytes())?;
        }
    }
    let Some(address) = program.tag(elf::DT_VERNEED)? else {
        return Ok(());
    };
    // Elf64_Verneed and Elf64_Vernaux of the "Symbol Versioning" part of the Linux Standard Base
    let mut need = program.position(address)?;
    loop {
        move_string(program, strings, need + 4)?;
        let mut version = need + program.int(need + 8)? as usize;
        for _ in 0..program.half(need + 2)? {
            move_string(program, strings, version + 8)?;
            version += program.int(version + 12)? as usize;
        }
        match program.int(need + 12)? {
            0 => return Ok(()),
            next => need += next as usize,
        }
    }
}

fn move_string(program: &mut Program, strings: &mut Strings, position: usize) -> Result<()> {
    let offset = strings.add(program.string(program.int(position)?.into())?);
    program.put(position, &offset.to_le_bytes())
}

/// Size of the section that a tag points at.
fn section_size(program: &Program, tag: elf::DynamicTag) -> Result<usize> {
    let address = program.tag(tag)?.context("a table is missing")?;
    for section in program.sections()? {
        if program.word(section + 16)? == address {
            return Ok(program.word(section + 32)? as usize);
        }
    }
    anyhow::bail!("no section is at {address:#x}")
}

/// Writes a shorter table over an old one; the rest becomes zero, which compresses to nothing.
fn replace(program: &mut Program, tag: elf::DynamicTag, old: usize, table: &[u8]) -> Result<()> {
    let Some(address) = program.tag(tag)? else {
        return Ok(());
    };
    ensure!(table.len() <= old, "a table became longer");
    let mut bytes = table.to_vec();
    bytes.resize(old, 0);
    program.put(program.position(address)?, &bytes)?;
    program.resize_section(address, table.len())
}

/// The hash of DT_GNU_HASH: Bernstein's, h * 33 + c.
fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(*byte))
    })
}

/// A table of one bucket: few symbols are left. `first` is the index of the first that is offered.
fn hash_table(first: usize, hashes: &[u32]) -> Vec<u8> {
    let bucket = if hashes.is_empty() { 0 } else { first as u32 };
    // Bits of the filter: none lets nothing through, all let everything through.
    let filter: u64 = if hashes.is_empty() { 0 } else { u64::MAX };
    let mut table: Vec<u8> = [1, first as u32, 1, 6]
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    table.extend(filter.to_le_bytes());
    table.extend(bucket.to_le_bytes());
    for (index, hash) in hashes.iter().enumerate() {
        let is_last = u32::from(index + 1 == hashes.len());
        table.extend((hash & !1 | is_last).to_le_bytes());
    }
    table
}
