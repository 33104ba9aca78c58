//! Debian 13's grub-emu, and disks for it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use duct::cmd;
use install::{Block, Layout, MIB, Records, Role, Which};
use object::{Object as _, ObjectSymbol as _};

use crate::debian::{self, Tool};
use crate::workspace::{Arch, Build};

/// grub-emu and the libraries it needs, except the one that shows windows.
const PACKAGES: [&str; 8] = [
    "grub-emu",
    "libc6",
    "libdevmapper1.02.1",
    "liblzma5",
    "libpcre2-8-0",
    "libselinux1",
    "libudev1",
    "libcap2",
];
/// Where the boot script ends that is tested.
const CUT: &str = "# --- cargo xtask grub-test";
/// The library for windows: a hundred packages that nothing here calls.
const WINDOWS: &str = "libSDL2-2.0.so.0";

/// Who may write to no file of ours.
const NOBODY: u32 = 65534;

/// What GRUB did with a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The id of the choice.
    pub(super) id: String,
    /// Number of the try.
    pub(super) attempt: String,
    /// The reason.
    pub(super) why: String,
    /// Slots, in the order in which they are booted.
    pub(super) order: Vec<String>,
    /// The tries after it.
    pub(super) tries: String,
    /// Whether any other byte of the disk changed.
    pub(super) strays: bool,
}

/// grub-emu, ready to run.
pub(super) struct Emulator {
    tool: Tool,
    folder: PathBuf,
    script: String,
}

impl Emulator {
    /// Fetches it and reads the boot script.
    pub(super) fn get(build: &Build) -> Result<Self> {
        let host = Tool::host(build)?;
        ensure!(
            host.arch == Arch::X86_64,
            "Debian has grub-emu for x86_64 only"
        );
        let packages = PACKAGES
            .iter()
            .map(|name| debian::fetch_package(&host, name))
            .collect::<Result<Vec<_>>>()?;
        let tool = Tool::unpack(build, "grub-emu", &packages, |root| {
            let libraries = root.join("usr/lib").join(host.arch.multiarch());
            replace_windows(&root.join("usr/bin/grub-emu"), &libraries)
        })?;
        let path = build.root.join("iso/boot.cfg");
        let script =
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let end = script
            .find(CUT)
            .context("iso/boot.cfg has no mark for the test")?;
        // One of each run: two at once would take each other's disks
        let folder = build
            .scratch()
            .join(format!("grub-test-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self {
            tool,
            folder,
            script: script[..end].to_owned(),
        })
    }

    /// Runs the script on a disk for each of `states`; on disks that cannot be written when `writable` is false.
    pub(super) fn run(&self, states: &[Records], writable: bool) -> Result<Vec<Answer>> {
        let disks = states
            .iter()
            .enumerate()
            .map(|(number, records)| self.disk(number, records, writable))
            .collect::<Result<Vec<_>>>()?;
        let text = self.start(disks.len(), writable)?;
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.find("STATE ").map(|at| &line[at..]))
            .collect();
        ensure!(
            lines.len() == states.len(),
            "GRUB answered for {} of {} disks:\n{text}",
            lines.len(),
            states.len()
        );
        disks
            .iter()
            .zip(lines)
            .map(|(disk, line)| answer(disk, line))
            .collect()
    }

    fn disk(&self, number: usize, records: &Records, writable: bool) -> Result<Disk> {
        let path = self.folder.join(format!("disk{number}"));
        let mut bytes = vec![0; DISK_BYTES];
        let mut table = install::Memory(std::mem::take(&mut bytes));
        install::write_table(&mut table, &layout(), || install::Guid([7; 16]))?;
        let start = usize::try_from(MIB).context("a MiB")?;
        bytes = table.0;
        bytes[start..2 * start].copy_from_slice(&install::envelope(records)?);
        fs::remove_file(&path).ok();
        sparse(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
        if !writable {
            let mut permissions = fs::metadata(&path)?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&path, permissions)?;
        }
        Ok(Disk {
            path,
            before: bytes,
        })
    }

    /// Starts the program once; returns what it printed.
    fn start(&self, disks: usize, writable: bool) -> Result<String> {
        let mut map = String::new();
        let mut script = "set root=hd0,gpt3\n".to_owned();
        script.push_str(&self.script);
        for number in 0..disks {
            let path = self.folder.join(format!("disk{number}"));
            map.push_str(&format!("(hd{number}) {}\n", path.display()));
            script.push_str(&format!(
                "set disk=hd{number}\nset records=\"($disk,gpt3)\"\nchoose\ncount\n\
                 echo \"STATE id=$id attempt=$attempt why=$why order=$order END\"\n"
            ));
        }
        script.push_str("exit\n");
        let map_path = self.folder.join("device.map");
        fs::write(&map_path, map).context("write GRUB's device map")?;
        fs::write(self.folder.join("grub.cfg"), script).context("write GRUB's script")?;
        let arguments = [
            "--root=host".to_owned(),
            format!("--directory={}", self.folder.display()),
            format!("--device-map={}", map_path.display()),
        ];
        let mut run = self.tool.run("usr/bin/grub-emu", &arguments);
        // A file's permissions do not keep root from writing
        if !writable && fs::metadata("/proc/self").context("who am I")?.uid() == 0 {
            run = run.before_spawn(|command| {
                command.uid(NOBODY).gid(NOBODY);
                Ok(())
            });
        }
        let output = run
            .env("TERM", "dumb")
            .stdin_null()
            .stderr_to_stdout()
            .unchecked()
            .stdout_capture()
            .run()
            .context("run grub-emu")?;
        Ok(plain(&output.stdout))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // What stays is scratch
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A disk that was given to GRUB.
struct Disk {
    path: PathBuf,
    before: Vec<u8>,
}

/// Room for the tables and the partition of the records.
const DISK_BYTES: usize = 3 << 20;

/// Writes a file whose zeros are holes: a run has hundreds of disks.
fn sparse(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    const BLOCK: usize = 4096;
    let file = fs::File::create(path)?;
    file.set_len(bytes.len() as u64)?;
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, (number * BLOCK) as u64)?;
        }
    }
    Ok(())
}

fn layout() -> Layout {
    Layout {
        disk_bytes: DISK_BYTES as u64,
        sector_bytes: 512,
        partitions: vec![install::Partition {
            role: Role::BootState,
            start: MIB,
            size: MIB,
        }],
    }
}

fn answer(disk: &Disk, line: &str) -> Result<Answer> {
    let mut after = Vec::new();
    fs::File::open(&disk.path)
        .and_then(|mut file| file.read_to_end(&mut after))
        .with_context(|| format!("read {}", disk.path.display()))?;
    let at = usize::try_from(MIB + Which::Tries.offset()).context("a place")?;
    let mut tries: Block = [0; install::RECORD_BYTES];
    tries.copy_from_slice(&after[at..at + install::RECORD_BYTES]);
    let behind = at + install::RECORD_BYTES;
    let strays = disk.before[..at] != after[..at] || disk.before[behind..] != after[behind..];
    let field = |name: &str, end: &str| {
        let rest = line.split_once(name).map_or("", |(_, rest)| rest);
        rest.split_once(end)
            .map_or("", |(value, _)| value)
            .to_owned()
    };
    Ok(Answer {
        id: field(" id=", " attempt="),
        attempt: field(" attempt=", " why="),
        why: field(" why=", " order="),
        order: field(" order=", " END")
            .split_whitespace()
            .filter(|slot| matches!(*slot, "4" | "5" | "6"))
            .map(str::to_owned)
            .collect(),
        tries: String::from_utf8_lossy(&tries).into_owned(),
        strays,
    })
}

/// Without what moves a terminal's cursor.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\r', "\n");
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            plain.push(letter);
        } else if letters.next() == Some('[') {
            while letters
                .next()
                .is_some_and(|next| !next.is_ascii_alphabetic())
            {}
        }
    }
    plain
}

/// Puts an empty library in the place of the one for windows: grub-emu wants it to be there and does not open a window.
fn replace_windows(program: &Path, libraries: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let elf = object::File::parse(&*bytes).context("parse grub-emu")?;
    let mut source = String::new();
    for symbol in elf.dynamic_symbols().filter(|symbol| symbol.is_undefined()) {
        let name = symbol.name().context("name of a symbol")?;
        if name.starts_with("SDL_") {
            source.push_str(&format!("int {name}(void) {{ return -1; }}\n"));
        }
    }
    let path = libraries.join("windows.c");
    fs::write(&path, source).with_context(|| format!("write {}", path.display()))?;
    cmd!(
        "cc",
        "-shared",
        "-nostdlib",
        "-o",
        libraries.join(WINDOWS),
        &path
    )
    .run()
    .context("compile the empty library for windows")?;
    Ok(())
}
