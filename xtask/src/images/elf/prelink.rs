//! Gives a position-independent program its address when the image is built.
//!
//! At every start the loader writes the addresses that a position-independent program holds: 342,000 in Debian's dockerd,
//! on pages that are then its own RAM in place of clean pages of the file. Debian's containerd and runc have a fixed
//! address already; libraries, stack and heap stay random.

use anyhow::{Result, bail, ensure};
use object::elf;

use super::program::{Program, RELOCATION, Relocation};

/// Where programs of a fixed address begin by custom; a multiple of every page size (64 KiB on arm64).
const BASE: u64 = 0x40_0000;

/// Tags whose value is an address.
const ADDRESSES: [elf::DynamicTag; 17] = [
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
];

/// Tags whose value is a number, a size, or a string's offset.
const OTHERS: [elf::DynamicTag; 25] = [
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
    relocate(program, &kinds)?;
    move_symbols(program)?;
    move_headers(program)
}

/// Applies relative relocations and drops them; moves what the others point at.
fn relocate(program: &mut Program, kinds: &Kinds) -> Result<()> {
    let table = program.relocations(elf::DT_RELA, elf::DT_RELASZ)?;
    let mut kept = Vec::new();
    for (_, relocation) in &table {
        if relocation.kind() == kinds.relative {
            let position = program.position(relocation.address)?;
            let value = BASE.wrapping_add(relocation.addend);
            program.put(position, &value.to_le_bytes())?;
        } else {
            kept.push(moved(*relocation, kinds)?);
        }
    }
    let size = kept.len() * RELOCATION;
    let mut bytes: Vec<u8> = kept.iter().flat_map(|kept| entry(*kept)).collect();
    bytes.resize(table.len() * RELOCATION, 0);
    if let Some(address) = program.tag(elf::DT_RELA)? {
        program.put(program.position(address)?, &bytes)?;
        program.resize_section(address, size)?;
    }
    program.set_tag(elf::DT_RELASZ, size as u64)?;
    program.set_tag(elf::DT_RELACOUNT, 0)?;
    for (position, relocation) in program.relocations(elf::DT_JMPREL, elf::DT_PLTRELSZ)? {
        // Until its first call a slot holds an address in the procedure linkage table.
        let slot = program.position(relocation.address)?;
        if relocation.kind() != kinds.irelative && program.word(slot)? != 0 {
            program.add(slot, BASE)?;
        }
        program.put(position, &entry(moved(relocation, kinds)?))?;
    }
    Ok(())
}

fn moved(mut relocation: Relocation, kinds: &Kinds) -> Result<Relocation> {
    if relocation.kind() == kinds.irelative {
        relocation.addend += BASE;
    } else {
        ensure!(
            kinds.by_symbol.contains(&relocation.kind()),
            "relocation of type {} is not known",
            relocation.kind()
        );
    }
    relocation.address += BASE;
    Ok(relocation)
}

fn entry(relocation: Relocation) -> [u8; RELOCATION] {
    let mut bytes = [0; RELOCATION];
    bytes[..8].copy_from_slice(&relocation.address.to_le_bytes());
    bytes[8..16].copy_from_slice(&relocation.info.to_le_bytes());
    bytes[16..].copy_from_slice(&relocation.addend.to_le_bytes());
    bytes
}

fn move_symbols(program: &mut Program) -> Result<()> {
    for symbol in program.symbols()? {
        if symbol.has_address() {
            program.add(symbol.position + 8, BASE)?;
        }
    }
    Ok(())
}

/// Moves segments, sections and tags, and says that the address is fixed now.
fn move_headers(program: &mut Program) -> Result<()> {
    if let Some(table) = program.tag(elf::DT_PLTGOT)? {
        // The first word of the global offset table is the address of the dynamic section.
        let position = program.position(table)?;
        if program.word(position)? != 0 {
            program.add(position, BASE)?;
        }
    }
    for (tag, position) in program.tags()? {
        if ADDRESSES.iter().any(|known| known.0 == tag) {
            program.add(position, BASE)?;
        }
    }
    if let Some(flags) = program.tag(elf::DT_FLAGS_1)? {
        program.set_tag(elf::DT_FLAGS_1, flags & !elf::DF_1_PIE.0)?;
    }
    for segment in program.segments()? {
        if program.int(segment)? != elf::PT_GNU_STACK.0 {
            program.add(segment + 16, BASE)?;
            program.add(segment + 24, BASE)?;
        }
    }
    for section in program.sections()? {
        if program.word(section + 8)? & elf::SHF_ALLOC.0 != 0 {
            program.add(section + 16, BASE)?;
        }
    }
    program.add(24, BASE)?; // e_entry
    program.put(16, &elf::ET_EXEC.0.to_le_bytes())
}
