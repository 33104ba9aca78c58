//! What is done to a good version so that it is a bad one.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use cpio::newc;
use serde_json::json;

use crate::second_version::Tree;

/// One fault. The manifest of the version fits it: what made the version is at fault, not what carried it.
pub(super) enum Fault {
    /// A file of the medium has other content.
    File(&'static str, Change),
    /// The uppermost layer of a service's image has other content.
    Layer(&'static str, Change),
    /// PID 1 is this program.
    Init(Program),
    /// A service runs a shell script before its own program, which the script knows as `"$@"`.
    Service(&'static str, &'static str),
}

/// What becomes of a file's content.
type Change = fn(Vec<u8>) -> Vec<u8>;

pub(super) const KERNEL: &str = "boot/vmlinuz";
pub(super) const INITRD: &str = "boot/initrd";

/// Where a program is loaded.
const ADDRESS: u64 = 0x40_0000;
/// Bytes of the headers of an ELF file with one segment.
const HEADERS: usize = 64 + 56;

impl Fault {
    /// Makes the version bad.
    pub(super) fn apply(&self, tree: &mut Tree, arch: &str) -> anyhow::Result<()> {
        match self {
            Fault::File(path, change) => alter(tree, path, *change),
            Fault::Layer(service, change) => {
                let path = tree.layer_of(service)?;
                alter(tree, &path, *change)
            }
            Fault::Init(program) => {
                let archive = cpio("init", &program.elf(arch)?)?;
                tree.alter(INITRD, |initrd| {
                    // The kernel unpacks one archive after the other; a later file takes the place of an earlier one
                    initrd.resize(initrd.len().next_multiple_of(512), 0);
                    initrd.extend(archive);
                })
            }
            Fault::Service(service, script) => tree.configure(service, |config| {
                config["Entrypoint"] = json!(["/bin/sh", "-c", script, "sh"]);
            }),
        }
    }
}

fn alter(tree: &mut Tree, path: &str, change: Change) -> anyhow::Result<()> {
    tree.alter(path, |content| *content = change(std::mem::take(content)))
}

/// A program that does one thing, without a library.
#[derive(Clone, Copy)]
pub(super) enum Program {
    /// It exits.
    Exits,
    /// It executes what is not an instruction, as abort(3) does at last.
    Aborts,
    /// It runs for ever.
    Hangs,
}

impl Program {
    fn elf(self, arch: &str) -> anyhow::Result<Vec<u8>> {
        let (machine, code): (u16, &[u8]) = match (arch, self) {
            // mov edi, 1; mov eax, exit_group; syscall
            ("x86_64", Program::Exits) => (62, b"\xbf\x01\0\0\0\xb8\xe7\0\0\0\x0f\x05"),
            ("x86_64", Program::Aborts) => (62, b"\x0f\x0b"),
            ("x86_64", Program::Hangs) => (62, b"\xeb\xfe"),
            // mov x0, #1; mov x8, #exit_group; svc #0
            ("aarch64", Program::Exits) => (183, b"\x20\0\x80\xd2\xc8\x0b\x80\xd2\x01\0\0\xd4"),
            ("aarch64", Program::Aborts) => (183, b"\0\0\0\0"),
            ("aarch64", Program::Hangs) => (183, b"\0\0\0\x14"),
            (other, _) => bail!("no program for {other}"),
        };
        let size = (HEADERS + code.len()) as u64;
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let halves = |file: &mut Vec<u8>, words: &[u16]| {
            file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        };
        // Executable, machine, version 1
        halves(&mut file, &[2, machine, 1, 0]);
        // Entry, program headers, section headers
        for word in [ADDRESS + HEADERS as u64, 64, 0] {
            file.extend(word.to_le_bytes());
        }
        // Flags; sizes and counts of headers
        halves(&mut file, &[0, 0, 64, 56, 1, 0, 0, 0]);
        // PT_LOAD, to be read and executed; offset, addresses, sizes, alignment
        halves(&mut file, &[1, 0, 5, 0]);
        for word in [0, ADDRESS, ADDRESS, size, size, 0x1000] {
            file.extend(word.to_le_bytes());
        }
        file.extend(code);
        Ok(file)
    }
}

/// An archive with one executable file, as the kernel takes it (Documentation/driver-api/early-userspace/buffer-format.rst).
fn cpio(name: &str, content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let size = u32::try_from(content.len()).context("a large program")?;
    let mut writer = newc::Builder::new(name)
        .mode(0o100_755)
        .write(Vec::new(), size);
    writer.write_all(content)?;
    Ok(newc::trailer(writer.finish()?)?)
}

/// Bytes that nothing takes for something.
pub(super) fn junk(content: Vec<u8>) -> Vec<u8> {
    vec![0x5a; content.len()]
}

/// The first half.
pub(super) fn half(mut content: Vec<u8>) -> Vec<u8> {
    content.truncate(content.len() / 2);
    content
}

/// The second half is zeros. A kernel that is cut there may start: the memory after it has what the boot before left, the same kernel.
pub(super) fn torn(mut content: Vec<u8>) -> Vec<u8> {
    let middle = content.len() / 2;
    content[middle..].fill(0);
    content
}

/// The beginning, by which a file system is known, is zeros.
pub(super) fn headless(mut content: Vec<u8>) -> Vec<u8> {
    let head = content.len().min(4096);
    content[..head].fill(0);
    content
}

/// The second quarter is zeros: what is known by its beginning and its end is whole, what is in it is not.
pub(super) fn hollow(mut content: Vec<u8>) -> Vec<u8> {
    let quarter = content.len() / 4;
    content[quarter..2 * quarter].fill(0);
    content
}

/// The kernel does nothing for ever from its first instruction on (Documentation/arch/x86/boot.rst: the part after the setup
/// sectors is what is jumped to).
pub(super) fn hang_kernel(mut kernel: Vec<u8>) -> Vec<u8> {
    let sectors = kernel.get(0x1f1).copied().unwrap_or(0);
    let start = (usize::from(sectors) + 1) * 512;
    kernel[start..start + 2].copy_from_slice(b"\xeb\xfe");
    kernel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_do_what_they_are_named_for() {
        let folder = tempfile::tempdir().unwrap();
        let (written, path) = (folder.path().join("written"), folder.path().join("program"));
        for (program, code) in [(Program::Exits, Some(1)), (Program::Aborts, None)] {
            std::fs::write(&written, program.elf(std::env::consts::ARCH).unwrap()).unwrap();
            // A child that another test forks has what this process has open for writing: it would be busy (ETXTBSY of execve(2)).
            duct::cmd!("install", "-m", "755", &written, &path)
                .run()
                .unwrap();
            let status = duct::cmd!(&path).unchecked().run().unwrap().status;
            assert_eq!(status.code(), code);
        }
    }
}
