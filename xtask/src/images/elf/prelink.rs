//! Gives a position-independent program its address when the image is built.
//!
//! At every start the loader writes the addresses that a position-independent program holds: 342,000 in Debian's dockerd,
//! on pages that are then its own RAM in place of clean pages of the file. Debian's containerd and runc have a fixed
//! address already; libraries, stack and heap stay random.

use anyhow::{Result, bail, ensure};
use object::elf;

use super::program::{Program, RELOCATION, Relocation};

/// Position of `e_entry`.
pub(super) const ENTRY: usize = 24;

/// Where programs of a fixed address begin by custom; a multiple of every page size (64 KiB on arm64).
const BASE: u64 = 0x40_0000;

/// What becomes of relocations that only add the address at which a file is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Relative {
    /// They are applied for good.
    Drop,
    /// They stay, and say the same when the file is at its address: it may be loaded elsewhere all the same.
    Keep,
}

/// x86-64's tag for the procedure linkage table (its psABI); its size and that of an entry have the numbers of two of
/// arm64's tags.
const X86_64_PLT: elf::DynamicTag = elf::DynamicTag(0x7000_0000);

/// Tags whose value is an address.
const ADDRESSES: [elf::DynamicTag; 19] = [
    elf::DT_PLTGOT,
    elf::DT_HASH,
    elf::DT_STRTAB,
    elf::DT_SYMTAB,
    elf::DT_RELA,
    elf::DT_INIT,
    elf::DT_FINI,
    elf::DT_JMPREL,
    elf::DT_INIT_ARRAY,
    elf::DT_FINI_ARRAY,
    elf::DT_PREINIT_ARRAY,
    elf::DT_GNU_HASH,
    elf::DT_VERSYM,
    elf::DT_VERDEF,
    elf::DT_VERNEED,
    elf::DT_TLSDESC_PLT,
    elf::DT_TLSDESC_GOT,
    elf::DT_RELR,
    X86_64_PLT,
];

/// Tags whose value is a number, a size, or a string's offset.
const OTHERS: [elf::DynamicTag; 27] = [
    elf::DT_NEEDED,
    elf::DT_PLTRELSZ,
    elf::DT_RELASZ,
    elf::DT_RELAENT,
    elf::DT_STRSZ,
    elf::DT_SYMENT,
    elf::DT_SONAME,
    elf::DT_RPATH,
    elf::DT_SYMBOLIC,
    elf::DT_PLTREL,
    elf::DT_DEBUG,
    elf::DT_TEXTREL,
    elf::DT_BIND_NOW,
    elf::DT_INIT_ARRAYSZ,
    elf::DT_FINI_ARRAYSZ,
    elf::DT_PREINIT_ARRAYSZ,
    elf::DT_RUNPATH,
    elf::DT_FLAGS,
    elf::DT_FLAGS_1,
    elf::DT_RELACOUNT,
    elf::DT_RELRSZ,
    elf::DT_RELRENT,
    elf::DT_VERDEFNUM,
    elf::DT_VERNEEDNUM,
    elf::DT_AARCH64_BTI_PLT,
    elf::DT_AARCH64_PAC_PLT,
    elf::DT_AARCH64_VARIANT_PCS,
];

/// What the two machines call the same relocations.
struct Kinds {
    relative: u32,
    irelative: u32,
    /// Those that the loader resolves by a symbol, the same at any address.
    by_symbol: &'static [u32],
}

const X86_64: Kinds = Kinds {
    relative: elf::R_X86_64_RELATIVE.0,
    irelative: elf::R_X86_64_IRELATIVE.0,
    by_symbol: &[
        elf::R_X86_64_64.0,
        elf::R_X86_64_COPY.0,
        elf::R_X86_64_GLOB_DAT.0,
        elf::R_X86_64_JUMP_SLOT.0,
        elf::R_X86_64_DTPMOD64.0,
        elf::R_X86_64_DTPOFF64.0,
        elf::R_X86_64_TPOFF64.0,
    ],
};

const AARCH64: Kinds = Kinds {
    relative: elf::R_AARCH64_RELATIVE.0,
    irelative: elf::R_AARCH64_IRELATIVE.0,
    by_symbol: &[
        elf::R_AARCH64_ABS64.0,
        elf::R_AARCH64_COPY.0,
        elf::R_AARCH64_GLOB_DAT.0,
        elf::R_AARCH64_JUMP_SLOT.0,
        elf::R_AARCH64_TLS_DTPMOD.0,
        elf::R_AARCH64_TLS_DTPREL.0,
        elf::R_AARCH64_TLS_TPREL.0,
        elf::R_AARCH64_TLSDESC.0,
    ],
};

/// Moves the program to its address and applies what the loader would apply at every start.
///
/// # Errors
/// When it is position-independent and has something that is not known here; then it must be used as it was.
pub(super) fn prelink(program: &mut Program) -> Result<()> {
    if !program.is_position_independent()? {
        return Ok(());
    }
    move_to(program, BASE, Relative::Drop)?;
    if let Some(flags) = program.tag(elf::DT_FLAGS_1)? {
        program.set_tag(elf::DT_FLAGS_1, flags & !elf::DF_1_PIE.0)?;
    }
    program.put(16, &elf::ET_EXEC.0.to_le_bytes())
}

/// Moves everything that an address is in.
pub(super) fn move_to(program: &mut Program, base: u64, relative: Relative) -> Result<()> {
    for (tag, _) in program.tags()? {
        let is_known = |known: &elf::DynamicTag| known.0 == tag;
        ensure!(
            ADDRESSES.iter().chain(&OTHERS).any(is_known),
            "dynamic tag {tag:#x} is not known"
        );
    }
    let kinds = match elf::Machine(program.half(18)?) {
        elf::EM_X86_64 => X86_64,
        elf::EM_AARCH64 => AARCH64,
        other => bail!("machine {other:?} is not known"),
    };
    // From here on only values change; the file's addresses are read before they move.
    relocate(program, base, &kinds, relative)?;
    relocate_packed(program, base, relative)?;
    move_symbols(program, base)?;
    move_headers(program, base)
}

/// Applies relative relocations; moves what the others point at.
fn relocate(program: &mut Program, base: u64, kinds: &Kinds, relative: Relative) -> Result<()> {
    let table = program.relocations(elf::DT_RELA, elf::DT_RELASZ)?;
    let mut kept = Vec::new();
    for (_, relocation) in &table {
        if relocation.kind() == kinds.relative {
            let position = program.position(relocation.address)?;
            let value = base.wrapping_add(relocation.addend);
            program.put(position, &value.to_le_bytes())?;
            if relative == Relative::Drop {
                continue;
            }
        }
        kept.push(moved(*relocation, base, kinds)?);
    }
    let size = kept.len() * RELOCATION;
    let mut bytes: Vec<u8> = kept.iter().flat_map(|kept| entry(*kept)).collect();
    bytes.resize(table.len() * RELOCATION, 0);
    if let Some(address) = program.tag(elf::DT_RELA)? {
        program.put(program.position(address)?, &bytes)?;
        program.resize_section(address, size)?;
    }
    program.set_tag(elf::DT_RELASZ, size as u64)?;
    if relative == Relative::Drop {
        program.set_tag(elf::DT_RELACOUNT, 0)?;
    }
    for (position, relocation) in program.relocations(elf::DT_JMPREL, elf::DT_PLTRELSZ)? {
        // Until its first call a slot holds an address in the procedure linkage table.
        let slot = program.position(relocation.address)?;
        if relocation.kind() != kinds.irelative && program.word(slot)? != 0 {
            program.add(slot, base)?;
        }
        program.put(position, &entry(moved(relocation, base, kinds)?))?;
    }
    Ok(())
}

/// Bits of a word of the packed table that say which of as many words hold an address; the lowest one says that it is such.
const PACKED: u64 = 63;

/// Applies the packed table of relative relocations (DT_RELR in the generic ABI: an address, then words of bits for what
/// follows it).
fn relocate_packed(program: &mut Program, base: u64, relative: Relative) -> Result<()> {
    let (Some(table), Some(size)) = (program.tag(elf::DT_RELR)?, program.tag(elf::DT_RELRSZ)?)
    else {
        return Ok(());
    };
    let start = program.position(table)?;
    let mut next = 0;
    for position in (start..start + size as usize).step_by(8) {
        let entry = program.word(position)?;
        if entry & 1 == 0 {
            program.add(program.position(entry)?, base)?;
            program.add(position, base)?;
            next = entry + 8;
            continue;
        }
        for bit in (0..PACKED).filter(|bit| entry >> (bit + 1) & 1 == 1) {
            program.add(program.position(next + bit * 8)?, base)?;
        }
        next += PACKED * 8;
    }
    if relative == Relative::Drop {
        program.set_tag(elf::DT_RELRSZ, 0)?;
    }
    Ok(())
}

fn moved(mut relocation: Relocation, base: u64, kinds: &Kinds) -> Result<Relocation> {
    if [kinds.relative, kinds.irelative].contains(&relocation.kind()) {
        relocation.addend += base;
    } else {
        ensure!(
            kinds.by_symbol.contains(&relocation.kind()),
            "relocation of type {} is not known",
            relocation.kind()
        );
    }
    relocation.address += base;
    Ok(relocation)
}

fn entry(relocation: Relocation) -> [u8; RELOCATION] {
    let mut bytes = [0; RELOCATION];
    bytes[..8].copy_from_slice(&relocation.address.to_le_bytes());
    bytes[8..16].copy_from_slice(&relocation.info.to_le_bytes());
    bytes[16..].copy_from_slice(&relocation.addend.to_le_bytes());
    bytes
}

fn move_symbols(program: &mut Program, base: u64) -> Result<()> {
    for symbol in program.symbols()? {
        if symbol.has_address() {
            program.add(symbol.position + 8, base)?;
        }
    }
    Ok(())
}

/// Moves segments, sections, tags and the entry.
fn move_headers(program: &mut Program, base: u64) -> Result<()> {
    if let Some(table) = program.tag(elf::DT_PLTGOT)? {
        // The first word of the global offset table is the address of the dynamic section.
        let position = program.position(table)?;
        if program.word(position)? != 0 {
            program.add(position, base)?;
        }
    }
    for (tag, position) in program.tags()? {
        if ADDRESSES.iter().any(|known| known.0 == tag) {
            program.add(position, base)?;
        }
    }
    for segment in program.segments()? {
        if program.int(segment)? != elf::PT_GNU_STACK.0 {
            move_segment(program, segment, base)?;
        }
    }
    for section in program.sections()? {
        if program.word(section + 8)? & elf::SHF_ALLOC.0 != 0 {
            program.add(section + 16, base)?;
        }
    }
    if program.word(ENTRY)? != 0 {
        program.add(ENTRY, base)?;
    }
    Ok(())
}

/// Moves `p_vaddr` and `p_paddr`.
pub(super) fn move_segment(program: &mut Program, segment: usize, base: u64) -> Result<()> {
    program.add(segment + 16, base)?;
    program.add(segment + 24, base)
}
