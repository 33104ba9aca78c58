//! A tar archive of a container's files, unpacked here, the outermost name being exchanged on the way.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType, Header};

/// What the keys of extended attributes begin with in a pax record.
const XATTR: &str = "SCHILY.xattr.";

/// How names of the archive become names here.
pub(super) struct Names {
    /// The name for what is copied; without one it keeps its own.
    new: Option<String>,
    /// Its name in the archive, known from the first entry: a directory's name is the beginning of all others.
    old: Option<PathBuf>,
}

impl Names {
    pub(super) fn new(new: Option<String>) -> Self {
        Self { new, old: None }
    }

    /// The path below the target for one of the archive; none for the target itself.
    ///
    /// # Errors
    /// When it leads out of the target, or does not begin with the name of what is copied.
    fn rename(&mut self, path: &Path) -> anyhow::Result<Option<PathBuf>> {
        let shown = path.display();
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => clean.push(name),
                Component::RootDir | Component::CurDir => {}
                _ => bail!("invalid path {shown} in the archive: it leads out"),
            }
        }
        let old = self.old.get_or_insert_with(|| clean.clone());
        let Some(new) = &self.new else {
            return Ok(Some(clean).filter(|path| !path.as_os_str().is_empty()));
        };
        let rest = clean.strip_prefix(old).with_context(|| {
            format!("invalid path {shown} in the archive: it is not below the first")
        })?;
        let root = Path::new(new);
        Ok(Some(match rest.as_os_str().is_empty() {
            true => root.to_owned(),
            false => root.join(rest),
        }))
    }
}

/// Unpacks `archive` into the directory `folder`. `owners`: whose files they are in the container they are here, too; else
/// they belong to who calls this, as with Docker.
///
/// # Errors
/// When the archive is damaged or leads out of `folder`, a directory would replace something else or the reverse, or a file
/// cannot be made.
pub(super) fn unpack(
    archive: impl Read,
    folder: &Path,
    mut names: Names,
    owners: bool,
) -> anyhow::Result<()> {
    let mut archive = Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(owners);
    let mut target = Unpacker {
        folder,
        owners,
        parent: None,
        directories: Vec::new(),
    };
    for entry in archive.entries()? {
        let mut entry = entry?;
        if let Some(path) = names.rename(&entry.path()?)? {
            target.check_parent(&path)?;
            target.make_room(&folder.join(&path), entry.header().entry_type().is_dir())?;
            target
                .add(&mut entry, &path, &mut names)
                .with_context(|| format!("cannot make {}", folder.join(&path).display()))?;
        }
    }
    target.finish_directories()?;
    // The engine sends to the end: what follows the last entry is read, too.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

struct Unpacker<'a> {
    folder: &'a Path,
    owners: bool,
    /// The directory of the last entry, which was looked at.
    parent: Option<PathBuf>,
    /// Directories, whose modes and times are set at the end: those may forbid, and are changed by, what comes into them.
    directories: Vec<(PathBuf, Header)>,
}

impl Unpacker<'_> {
    fn add<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        path: &Path,
        names: &mut Names,
    ) -> anyhow::Result<()> {
        let whole = self.folder.join(path);
        let header = entry.header().clone();
        let attributes = attributes(entry)?;
        match header.entry_type() {
            EntryType::Directory => {
                if !whole.is_dir() {
                    fs::create_dir(&whole)?;
                }
                self.directories.push((whole.clone(), header));
            }
            EntryType::Link => {
                let first = entry.link_name()?.context("a link without a target")?;
                let first = names.rename(&first)?.context("a link to a directory")?;
                self.check_parent(&first)?;
                self.parent = None;
                fs::hard_link(self.folder.join(first), &whole)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.special(&whole, &header)?
            }
            _ => entry.unpack(&whole).map(drop).map_err(kernels)?,
        }
        set_attributes(&whole, &attributes)
    }

    /// Fails unless the directories on the way to `path` are directories: a link that the archive has made, or that was
    /// here before, would lead elsewhere.
    fn check_parent(&mut self, path: &Path) -> anyhow::Result<()> {
        let Some(parent) = path.parent() else {
            bail!("a file without a name");
        };
        if self.parent.as_deref() == Some(parent) {
            return Ok(());
        }
        let mut whole = self.folder.to_owned();
        for part in parent {
            whole.push(part);
            if !fs::symlink_metadata(&whole)?.is_dir() {
                bail!("{} is not a directory", whole.display());
            }
        }
        self.parent = Some(parent.to_owned());
        Ok(())
    }

    /// Takes away what is in the place of a new file; a directory stays for one.
    fn make_room(&self, path: &Path, directory: bool) -> anyhow::Result<()> {
        let folder = self.folder;
        let existing = fs::symlink_metadata(path).ok();
        match existing.map(|existing| (existing.is_dir(), directory)) {
            None | Some((true, true)) => Ok(()),
            Some((true, false)) => {
                bail!("cannot overwrite directory {path:?} with non-directory {folder:?}")
            }
            Some((false, true)) => {
                bail!("cannot overwrite non-directory {path:?} with directory {folder:?}")
            }
            Some((false, false)) => Ok(fs::remove_file(path)?),
        }
    }

    fn special(&self, path: &Path, header: &Header) -> anyhow::Result<()> {
        let kind = match header.entry_type() {
            EntryType::Char => FileType::CharacterDevice,
            EntryType::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let number = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
        let device = rustix::fs::makedev(
            number(header.device_major())?,
            number(header.device_minor())?,
        );
        rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device)?;
        self.finish(path, header)
    }

    fn finish_directories(&mut self) -> anyhow::Result<()> {
        // The innermost first: the mode of the outer one may forbid the way there.
        for (path, header) in std::mem::take(&mut self.directories).iter().rev() {
            self.finish(path, header)
                .with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(())
    }

    /// Sets the owner, then the mode, because a change of the owner clears the set-user-ID and set-group-ID bits. Then the time, by the
    /// path: to open a pipe would wait for its other end.
    fn finish(&self, path: &Path, header: &Header) -> anyhow::Result<()> {
        if self.owners {
            let id = |id: io::Result<u64>| id.map(|id| u32::try_from(id).ok());
            lchown(path, id(header.uid())?, id(header.gid())?)?;
        }
        let mode = fs::Permissions::from_mode(header.mode()? & 0o7777);
        fs::set_permissions(path, mode)?;
        let modified = Timespec {
            tv_sec: i64::try_from(header.mtime()?)?,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: modified,
            last_modification: modified,
        };
        Ok(rustix::fs::utimensat(
            CWD,
            path,
            &times,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }
}

/// The kernel's error behind one of the library, whose words name the file a second time.
fn kernels(error: io::Error) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    let cause = error.root_cause().downcast_ref::<io::Error>();
    match cause.and_then(io::Error::raw_os_error) {
        Some(errno) => io::Error::from_raw_os_error(errno).into(),
        None => error,
    }
}

/// An extended attribute: its name, and its value.
type Attribute = (String, Vec<u8>);

fn attributes<R: Read>(entry: &mut Entry<'_, R>) -> anyhow::Result<Vec<Attribute>> {
    let Some(records) = entry.pax_extensions()? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for record in records {
        let record = record?;
        if let Some(name) = record.key()?.strip_prefix(XATTR) {
            found.push((name.to_owned(), record.value_bytes().to_vec()));
        }
    }
    Ok(found)
}

fn set_attributes(path: &Path, attributes: &[Attribute]) -> anyhow::Result<()> {
    for (name, value) in attributes {
        match rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty()) {
            // As Docker: a file without the attribute is better than no file. The caller may not have the right to set it, or the file
            // system does not have such attributes.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(error) => return Err(error).context(format!("cannot set its {name}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
