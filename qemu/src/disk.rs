//! Disks of virtual machines: sparse images, and what is written on them before a boot.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

/// Sparse, so that it costs what a guest writes: its two Dockers' images and logs.
const STATE_BYTES: u64 = 4 << 30;
/// A small disk that a test looks at.
const SMALL_BYTES: u64 = 1 << 30;

/// The label by which the system finds its state.
pub(crate) const STATE_LABEL: &str = "RANCHER_STATE";

/// The number of a user whom nobody knows.
const STRANGER: u32 = 4321;

/// What happens to a file of a state disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// As long as before, all zeros: the length was written, the content was not.
    Zeros,
    /// The first half only.
    Half,
    /// As long as before, bytes that are not text.
    Junk,
    /// A file in the place of a directory.
    File,
    /// Nothing in it: the name was written, and nothing else.
    Empty,
    /// A named pipe in its place: who opens it to read waits for ever.
    Pipe,
    /// A link that leads to itself.
    Loop,
    /// A directory in its place.
    Directory,
    /// It belongs to a user whom nobody knows.
    Owner,
    /// It is not there.
    Missing,
}

/// A disk of a test; its file goes with it.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl Disk {
    /// Of zeros.
    pub(crate) fn blank() -> anyhow::Result<Disk> {
        let folder = tempfile::tempdir().context("cannot make a folder for a disk")?;
        let path = folder.path().join("disk");
        make(&path, SMALL_BYTES)?;
        Ok(Disk {
            path,
            _folder: folder,
        })
    }

    /// With an empty ext4 file system; `options` are mke2fs's own.
    pub(crate) fn ext4(label: &str, options: &[&str]) -> anyhow::Result<Disk> {
        let disk = Disk::blank()?;
        format(&disk.path, label, options)?;
        Ok(disk)
    }

    /// As the system keeps its state on.
    pub(crate) fn state() -> anyhow::Result<Disk> {
        Disk::ext4(STATE_LABEL, &[])
    }

    /// Runs commands of debugfs(8) on the file system, which nobody has mounted.
    ///
    /// # Errors
    /// When debugfs says that one of them failed: its exit code is 0 all the same.
    pub(crate) fn debugfs(&self, commands: &[String]) -> anyhow::Result<String> {
        let script = self.path.with_extension("debugfs");
        std::fs::write(&script, commands.join("\n") + "\n").context("cannot write a script")?;
        let output = duct::cmd!("debugfs", "-w", "-f", &script, &self.path)
            .stderr_capture()
            .stdout_capture()
            .run()
            .context("debugfs")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        // The first line is the program's version.
        let errors: Vec<&str> = errors.lines().skip(1).collect();
        ensure!(errors.is_empty(), "debugfs: {}", errors.join("; "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Does this to a file. The file system must be clean: a journal would take it back.
    pub(crate) fn damage(&self, path: &str, damage: Damage) -> anyhow::Result<()> {
        // debugfs takes a new name as it is, slashes and all.
        let (directory, name) = path.rsplit_once('/').unwrap_or(("/", path));
        let put = |command: String| {
            if self.debugfs(&[format!("stat {path}")]).is_ok() {
                self.debugfs(&[format!("rm {path}")])?;
            }
            self.debugfs(&[format!("cd {directory}/"), command])
                .map(drop)
        };
        match damage {
            Damage::Zeros | Damage::Half | Damage::Junk => self.damage_content(path, damage),
            Damage::File => {
                self.debugfs(&[format!("rmdir {path}")])?;
                self.write(path, b"")
            }
            Damage::Empty => {
                self.debugfs(&[format!("rm {path}")])?;
                self.write(path, b"")
            }
            Damage::Pipe => put(format!("mknod {name} p")),
            Damage::Loop => put(format!("symlink {name} {name}")),
            Damage::Directory => put(format!("mkdir {name}")),
            Damage::Owner => {
                let set = format!("set_inode_field {path} uid {STRANGER}");
                self.debugfs(&[set]).map(drop)
            }
            Damage::Missing => self.debugfs(&[format!("rm {path}")]).map(drop),
        }
    }

    fn damage_content(&self, path: &str, damage: Damage) -> anyhow::Result<()> {
        let copy = self.path.with_extension("content");
        self.debugfs(&[format!("dump {path} {}", copy.display())])?;
        let content = std::fs::read(&copy).context("cannot read a file of the disk")?;
        ensure!(!content.is_empty(), "{path} is empty already");
        let content = match damage {
            Damage::Half => content[..content.len() / 2].to_vec(),
            Damage::Junk => vec![0xff; content.len()],
            _ => vec![0; content.len()],
        };
        self.debugfs(&[format!("rm {path}")])?;
        self.write(path, &content)
    }

    /// Writes a file of root's that is not there.
    pub(crate) fn write(&self, path: &str, content: &[u8]) -> anyhow::Result<()> {
        let copy = self.path.with_extension("content");
        std::fs::write(&copy, content).context("cannot write a file for the disk")?;
        // debugfs takes the new name as it is, slashes and all.
        let (directory, name) = path.rsplit_once('/').unwrap_or(("/", path));
        let commands = [
            format!("cd {directory}/"),
            format!("write {} {name}", copy.display()),
        ];
        self.debugfs(&commands).map(drop)
    }

    /// Overwrites a part of the disk with bytes that look random, the same each time.
    pub(crate) fn scribble(&self, offset: u64, bytes: usize) -> anyhow::Result<()> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise: Vec<u8> = (0..bytes)
            .map(|_| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        File::options()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.write_all_at(&noise, offset))
            .context("cannot write the disk")
    }
}

/// Makes the disk that a machine keeps its state on unless a test says otherwise.
pub(crate) fn make_state(path: &Path) -> anyhow::Result<()> {
    make(path, STATE_BYTES)?;
    format(path, STATE_LABEL, &[])
}

fn make(path: &Path, bytes: u64) -> anyhow::Result<()> {
    File::create(path)
        .and_then(|file| file.set_len(bytes))
        .with_context(|| format!("cannot make the disk {}", path.display()))
}

fn format(path: &Path, label: &str, options: &[&str]) -> anyhow::Result<()> {
    let mut arguments = vec!["-q", "-F", "-t", "ext4", "-L", label];
    arguments.extend(options);
    let path = path.to_string_lossy();
    arguments.push(&path);
    duct::cmd("mke2fs", arguments)
        .run()
        .map(drop)
        .context("mke2fs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_disk_are_written_and_damaged() {
        let disk = Disk::state().unwrap();
        disk.debugfs(&["mkdir /a".to_owned(), "mkdir /a/b".to_owned()])
            .unwrap();
        disk.write("/a/note", b"text").unwrap();
        let content = || disk.debugfs(&["cat /a/note".to_owned()]).unwrap();
        let is = |text: &str| content().lines().any(|line| line.ends_with(text));
        assert!(is("text"));
        disk.damage("/a/note", Damage::Half).unwrap();
        assert!(is("te"));
        disk.damage("/a/b", Damage::File).unwrap();
        for (damage, words) in [
            (Damage::Owner, "User:  4321"),
            (Damage::Empty, "Size: 0"),
            (Damage::Pipe, "Type: FIFO"),
            (Damage::Loop, "Fast link dest: \"note\""),
            (Damage::Directory, "Type: directory"),
        ] {
            disk.damage("/a/note", damage).unwrap();
            let found = disk.debugfs(&["stat /a/note".to_owned()]).unwrap();
            assert!(found.contains(words), "{damage:?}: {found}");
        }
        disk.damage("/a/b", Damage::Missing).unwrap();
        assert!(disk.debugfs(&["stat /a/b".to_owned()]).is_err());
        let error = disk.damage("/none", Damage::Zeros).unwrap_err();
        assert!(error.to_string().contains("none"), "{error:#}");
    }
}
