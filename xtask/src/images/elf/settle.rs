//! Gives a library an address that it prefers, where it need not be.
//!
//! The loader maps a library where its first segment asks to be, when nothing is there, and the kernel does so with the
//! loader of a program of fixed address. That is for programs that run often and briefly: what differs from run to run
//! costs an emulated machine most, which translates code again at every address.

use anyhow::Result;
use object::elf;

use super::prelink::{ENTRY, Relative, move_segment, move_to};
use super::program::Program;

/// Where libraries with a preferred address begin: far above a program and its heap, far below where the kernel puts the rest,
/// also on arm64 with 39 bits of addresses (512 GiB).
pub(crate) const LIBRARIES: u64 = 64 << 30;

/// What their addresses are a multiple of: the largest page size.
const PAGE: u64 = 0x1_0000;

/// A mapping of this size gets the address that it asks for only when as much is free behind it (Linux's
/// `__thp_get_unmapped_area`, which looks for room to align it to a huge page).
const HUGE_PAGE: u64 = 2 << 20;

/// Gives a library the address that it prefers, and returns the first address behind it.
///
/// The loader takes its own address for what everything in it is to be added to (its ELF header's address: glibc's
/// `elf_machine_load_address`), so only what the kernel looks at says where it is to be: loaded segments and entry.
///
/// # Errors
/// When the file has something that is not known.
pub(super) fn settle(program: &mut Program, address: u64, is_loader: bool) -> Result<u64> {
    let mut end = 0;
    for segment in loaded(program)? {
        end = end.max(program.word(segment + 16)? + program.word(segment + 40)?);
    }
    if is_loader {
        for segment in loaded(program)? {
            move_segment(program, segment, address)?;
        }
        program.add(ENTRY, address)?;
    } else {
        move_to(program, address, Relative::Keep)?;
    }
    let room = if end < HUGE_PAGE { PAGE } else { HUGE_PAGE };
    Ok((address + end + room).next_multiple_of(PAGE))
}

/// Positions of the headers of what is loaded.
fn loaded(program: &Program) -> Result<Vec<usize>> {
    let mut loaded = Vec::new();
    for segment in program.segments()? {
        if program.int(segment)? == elf::PT_LOAD.0 {
            loaded.push(segment);
        }
    }
    Ok(loaded)
}
