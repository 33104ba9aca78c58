//! What an ELF file asks for: interpreter, needed libraries and where it looks for them (elf(5), ld.so(8)); and what it
//! carries that no closure needs.

mod exports;
mod prelink;
mod program;
mod settle;

use anyhow::{Context, Result, bail, ensure};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf};

pub(crate) use exports::Names;
pub(crate) use settle::LIBRARIES;

use self::program::Program;
use super::tree::{Kind, Tree};
use crate::workspace::Arch;

/// The dynamic needs of one program or library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// `PT_INTERP`: the loader of a dynamic program.
    pub(crate) interpreter: Option<String>,
    /// `DT_NEEDED`: library names.
    pub(crate) libraries: Vec<String>,
    /// `DT_RPATH` or `DT_RUNPATH`, with `$ORIGIN` in place.
    pub(crate) search: Vec<String>,
}

/// Whether these bytes begin like an ELF file.
pub(crate) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

type Segment = elf::ProgramHeader64<Endianness>;

/// The program headers of a 64-bit ELF file, with its byte order.
fn segments(bytes: &[u8]) -> Result<(Endianness, &[Segment])> {
    let header = elf::FileHeader64::parse(bytes).context("ELF header")?;
    let endian = header.endian().context("ELF byte order")?;
    let segments = header
        .program_headers(endian, bytes)
        .context("ELF program headers")?;
    Ok((endian, segments))
}

/// Reads the needs of a 64-bit little-endian ELF file.
pub(crate) fn needs(bytes: &[u8]) -> Result<Needs> {
    let (endian, segments) = segments(bytes)?;
    let mut found = Needs::default();
    let at = |address: u64| {
        segments
            .iter()
            .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
            .find_map(|segment| {
                let offset = address.checked_sub(segment.p_vaddr(endian))?;
                (offset < segment.p_filesz(endian)).then(|| segment.p_offset(endian) + offset)
            })
    };
    for segment in segments {
        if let Some(path) = segment
            .interpreter(endian, bytes)
            .context("ELF interpreter")?
        {
            found.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
        let Some(dynamic) = segment
            .dynamic(endian, bytes)
            .context("ELF dynamic section")?
        else {
            continue;
        };
        let value = |tag| {
            dynamic
                .iter()
                .find(|entry| entry.d_tag(endian) == tag)
                .map(|entry| entry.d_val(endian))
        };
        let strings = value(elf::DT_STRTAB).and_then(at);
        let text = |offset: u64| string(bytes, strings.context("ELF string table")? + offset);
        for entry in dynamic {
            let tag = entry.d_tag(endian);
            if tag == elf::DT_NEEDED {
                found.libraries.push(text(entry.d_val(endian))?);
            } else if tag == elf::DT_RPATH || tag == elf::DT_RUNPATH {
                let path = text(entry.d_val(endian))?;
                found.search.extend(
                    path.split(':')
                        .filter(|part| !part.is_empty())
                        .map(str::to_owned),
                );
            }
        }
    }
    Ok(found)
}

/// Fails when loaded segments lie over one another: pages of the earlier would have the later one's rights.
pub(crate) fn check_segments(bytes: &[u8]) -> Result<()> {
    let (endian, segments) = segments(bytes)?;
    let mut end = 0;
    for segment in segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
    {
        let start = segment.p_vaddr(endian);
        ensure!(
            start >= end,
            "the segment at {start:#x} lies over the one before, which ends at {end:#x}"
        );
        end = start.saturating_add(segment.p_memsz(endian));
    }
    Ok(())
}

/// Symbols that the file takes from others; a static one takes none.
pub(crate) fn imports(bytes: &[u8]) -> Result<Names> {
    Program::parse(bytes.to_vec())
        .map_or_else(|_| Ok(Names::new()), |program| exports::imports(&program))
}

/// Drops the symbols that the program offers and that are not `imported`; with `fixed` it gets its address now in place
/// of at every start.
///
/// # Errors
/// When the file has something that is not known: it must be used as it was.
pub(crate) fn lighten(bytes: &[u8], imported: &Names, fixed: bool) -> Result<Vec<u8>> {
    let mut program = Program::parse(bytes.to_vec())?;
    exports::drop_exports(&mut program, imported).context("drop its exports")?;
    if fixed {
        prelink::prelink(&mut program).context("give it its address")?;
    }
    Ok(program.into_bytes())
}

/// Gives a library, or the loader, the address that it prefers; returns it with the first address behind it.
///
/// # Errors
/// When the file has something that is not known.
pub(crate) fn settle(bytes: &[u8], address: u64, is_loader: bool) -> Result<(Vec<u8>, u64)> {
    let mut program = Program::parse(bytes.to_vec())?;
    let end = settle::settle(&mut program, address, is_loader)?;
    Ok((program.into_bytes(), end))
}

/// The NUL-terminated text at an offset.
fn string(bytes: &[u8], offset: u64) -> Result<String> {
    let start = usize::try_from(offset)
        .ok()
        .filter(|start| *start < bytes.len())
        .context("ELF string outside the file")?;
    let end = bytes[start..]
        .iter()
        .position(|byte| *byte == 0)
        .context("ELF string without end")?;
    Ok(String::from_utf8_lossy(&bytes[start..start + end]).into_owned())
}

/// Where the loader of `arch` looks by itself.
pub(crate) fn default_folders(arch: Arch) -> Vec<String> {
    vec![
        format!("usr/lib/{}", arch.multiarch()),
        "usr/lib".to_owned(),
        "usr/lib64".to_owned(),
    ]
}

/// Finds a library for the file at `path`: its own search path first, then `folders`.
pub(crate) fn find_library(
    tree: &Tree,
    path: &str,
    needs: &Needs,
    name: &str,
    folders: &[String],
) -> Option<String> {
    let origin = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = needs.search.iter().map(|folder| {
        folder
            .replace("${ORIGIN}", origin)
            .replace("$ORIGIN", origin)
    });
    own.chain(folders.iter().cloned())
        .find_map(|folder| tree.follow(&format!("{folder}/{name}")))
}

/// Checks that every library and interpreter that an ELF file in `tree` asks for is there; only paths that `wanted`
/// accepts are looked at.
pub(crate) fn check(tree: &Tree, folders: &[String], wanted: impl Fn(&str) -> bool) -> Result<()> {
    let mut missing = Vec::new();
    for (path, entry) in tree.iter().filter(|(path, _)| wanted(path)) {
        let Kind::File(content) = &entry.kind else {
            continue;
        };
        if !is_elf(content) {
            continue;
        }
        let needs = needs(content).with_context(|| format!("read /{path}"))?;
        if let Some(interpreter) = needs
            .interpreter
            .as_ref()
            .filter(|interpreter| tree.follow(interpreter).is_none())
        {
            missing.push(format!("/{path} needs {interpreter}"));
        }
        for library in &needs.libraries {
            if find_library(tree, path, &needs, library, folders).is_none() {
                missing.push(format!("/{path} needs {library}"));
            }
        }
    }
    if !missing.is_empty() {
        bail!("libraries are missing: {}", missing.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tree::Entry;
    use super::*;

    /// This test program itself: a dynamic ELF file that needs libc.
    fn program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn needs_of_a_program_are_read() {
        let needs = needs(&program()).unwrap();
        assert!(
            needs.libraries.iter().any(|name| name == "libc.so.6"),
            "{needs:?}"
        );
        assert!(needs.interpreter.unwrap().contains("ld-linux"));
    }

    #[test]
    fn segments_that_lie_over_one_another_are_refused() {
        let mut bytes = program();
        check_segments(&bytes).unwrap();
        // e_phoff and e_phnum; p_type, p_vaddr (elf(5))
        let number = |bytes: &[u8], at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
        };
        let table = number(&bytes, 32);
        let count = usize::from(u16::from_le_bytes(bytes[56..58].try_into().unwrap()));
        let second = (0..count)
            .map(|index| table + index * 56)
            .filter(|at| bytes[*at..*at + 4] == [1, 0, 0, 0])
            .nth(1)
            .unwrap();
        bytes[second + 16..second + 24].copy_from_slice(&1_u64.to_le_bytes());
        let error = check_segments(&bytes).unwrap_err().to_string();
        assert!(error.contains("0x1 lies over"), "{error}");
    }

    #[test]
    fn a_missing_library_is_named() {
        let bytes = program();
        let needs = needs(&bytes).unwrap();
        let mut tree = Tree::default();
        tree.insert("usr/bin/x", Entry::file(bytes, 0o755)).unwrap();
        tree.insert(
            needs.interpreter.as_ref().unwrap(),
            Entry::file(&b""[..], 0o755),
        )
        .unwrap();
        let folders = ["closure/lib".to_owned()];
        let error = check(&tree, &folders, |_| true).unwrap_err().to_string();
        assert!(error.contains("/usr/bin/x needs libc.so.6"), "{error}");
        for library in &needs.libraries {
            tree.insert(
                &format!("closure/lib/{library}"),
                Entry::file(&b""[..], 0o644),
            )
            .unwrap();
        }
        check(&tree, &folders, |_| true).unwrap();
    }

    /// Writes a program and has it list its tests.
    fn run(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        // Another process writes it: a file that this one has open, or a child just forked from it, is busy (ETXTBSY).
        duct::cmd!("dd", "status=none", format!("of={}", path.display()))
            .stdin_bytes(bytes)
            .run()
            .unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, executable).unwrap();
        duct::cmd!(path, "--list").read().unwrap()
    }

    #[test]
    fn a_lightened_program_runs_at_its_fixed_address() {
        let before = program();
        let light = lighten(&before, &Names::new(), true).unwrap();
        assert_eq!(light[16], object::elf::ET_EXEC.0 as u8);
        assert_eq!(run(&light), run(&before));
        // It has its address: nothing is left to do.
        assert_eq!(lighten(&light, &Names::new(), true).unwrap(), light);
    }

    /// The memory of a program that runs with this machine's libc, settled at `address`; and where that libc is.
    fn maps_with_libc_at(address: u64) -> (String, String) {
        let own = std::fs::read_to_string("/proc/self/maps").unwrap();
        let libc = own
            .split_whitespace()
            .find(|word| word.ends_with("/libc.so.6"))
            .unwrap();
        let (bytes, end) = settle(&std::fs::read(libc).unwrap(), address, false).unwrap();
        assert!(end > address + bytes.len() as u64 / 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libc.so.6");
        std::fs::write(&path, bytes).unwrap();
        let maps = duct::cmd!("cat", "/proc/self/maps")
            .env("LD_LIBRARY_PATH", folder.path())
            .read()
            .unwrap();
        (maps, path.display().to_string())
    }

    #[test]
    fn a_settled_library_is_where_it_prefers_to_be() {
        let (maps, libc) = maps_with_libc_at(LIBRARIES);
        let there = format!("{LIBRARIES:x}-");
        assert!(
            maps.lines()
                .any(|line| line.starts_with(&there) && line.ends_with(&libc)),
            "{maps}"
        );
    }

    #[test]
    fn a_settled_library_can_be_elsewhere() {
        // No machine has so many addresses.
        let (maps, libc) = maps_with_libc_at(1 << 60);
        assert!(maps.contains(&libc), "{maps}");
    }

    #[test]
    fn what_others_import_is_still_offered() {
        let program = program();
        let offered = |bytes: &[u8]| -> usize {
            let program = Program::parse(bytes.to_vec()).unwrap();
            program
                .symbols()
                .unwrap()
                .iter()
                .skip(1)
                .filter(|symbol| !symbol.is_undefined())
                .count()
        };
        let own = Program::parse(program.clone()).unwrap();
        let all: Names = own
            .symbols()
            .unwrap()
            .iter()
            .map(|symbol| own.string(symbol.name.into()).unwrap().to_vec())
            .collect();
        let kept = lighten(&program, &all, false).unwrap();
        assert_eq!(offered(&kept), offered(&program));
        assert_eq!(imports(&kept).unwrap(), imports(&program).unwrap());
        assert_eq!(run(&kept), run(&program));
    }

    #[test]
    fn damaged_files_are_refused() {
        let mut bytes = program();
        bytes.truncate(100);
        assert!(needs(&bytes).is_err());
        assert!(lighten(&bytes, &Names::new(), true).is_err());
    }
}
