//! Local files as a tar archive, under the name that they get in the container.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

/// A program's capabilities, the only extended attribute that Docker's client sends (capabilities(7)).
const CAPABILITY: &str = "security.capability";
/// Largest value of that attribute, in bytes: version 3 has 24.
const CAPABILITY_BYTES: usize = 64;

/// Packs `source`, and what is below it, under `name`; `.` stands for what is in a directory. A link stays one.
///
/// # Errors
/// When something cannot be read or written. What is written is told by its kind, `BrokenPipe`.
pub(super) fn pack(source: &Path, name: &str, out: &mut dyn Write) -> sys::Result<()> {
    let mut packer = Packer {
        tar: Builder::new(out),
        links: HashMap::new(),
    };
    match name {
        "." => packer.below(source, Path::new(""))?,
        name => packer.add(source, Path::new(name))?,
    }
    let end = packer.tar.into_inner();
    end.map(drop)
        .map_err(|error| sys::Error::new("write the archive", error))
}

struct Packer<W: Write> {
    tar: Builder<W>,
    /// The name of each file with several links, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<W> {
    fn below(&mut self, folder: &Path, name: &Path) -> sys::Result<()> {
        let what = |error| sys::Error::new(format!("open {}", folder.display()), error);
        let entries = fs::read_dir(folder).map_err(what)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names: Vec<_> = names.collect::<io::Result<_>>().map_err(what)?;
        names.sort();
        for child in names {
            self.add(&folder.join(&child), &name.join(&child))?;
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, name: &Path) -> sys::Result<()> {
        let found = fs::symlink_metadata(path)
            .map_err(|error| sys::Error::new(format!("lstat {}", path.display()), error))?;
        if found.file_type().is_socket() {
            return Ok(()); // has no form in a tar
        }
        let what = |error| sys::Error::new(format!("copy {}", path.display()), error);
        self.entry(path, name, &found).map_err(what)?;
        if found.is_dir() {
            self.below(path, name)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &Path, found: &Metadata) -> io::Result<()> {
        let mut header = header(found);
        if !found.is_dir() && found.nlink() > 1 {
            let inode = (found.dev(), found.ino());
            if let Some(first) = self.links.get(&inode) {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                return self.tar.append_link(&mut header, name, first);
            }
            self.links.insert(inode, name.to_owned());
        }
        if found.is_symlink() {
            return self
                .tar
                .append_link(&mut header, name, fs::read_link(path)?);
        }
        if !found.is_file() {
            return self.tar.append_data(&mut header, name, io::empty());
        }
        let mut file = open(path)?;
        self.capabilities(&file)?;
        let content = Exactly {
            left: found.len(),
            file: &mut file,
        };
        self.tar.append_data(&mut header, name, content)
    }

    fn capabilities(&mut self, file: &File) -> io::Result<()> {
        let mut value = [0; CAPABILITY_BYTES];
        // An error: it has none, or its file system has no such thing.
        match rustix::fs::fgetxattr(file, CAPABILITY, &mut value[..]) {
            Ok(length) if length > 0 => {
                let key = format!("SCHILY.xattr.{CAPABILITY}");
                let record = (key.as_str(), &value[..length]);
                self.tar.append_pax_extensions([record])
            }
            _ => Ok(()),
        }
    }
}

/// What an archive says of a file, without its names.
fn header(found: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata(found);
    header.set_mode(found.mode() & 0o7777);
    header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
    if !found.is_file() {
        header.set_size(0);
    }
    header
}

fn open(path: &Path) -> io::Result<File> {
    // A link or a pipe may have taken the file's place; lease or lock are waited for.
    let flags = OFlags::NOFOLLOW.bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file any more")),
    }
}

/// A file of the length that its header names, whatever is written to it meanwhile.
struct Exactly<'a> {
    file: &'a mut File,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = Read::take(&mut *self.file, self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::other("the file became shorter meanwhile"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
