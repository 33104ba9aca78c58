//! Datasources on media: a block device whose label says that it carries user data.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sys::blockdev;
use sys::mount::{self, MountFlags, UnmountFlags};

use crate::network::{self, Network};
use crate::{Error, Metadata, Result, metadata, nocloud, user_data};

/// What the files on the media are called and in which format they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenStack's config drive, label `config-2`.
    ConfigDrive,
    /// NoCloud, label `cidata`.
    NoCloud,
}

impl Format {
    /// The name in `rancher.cloud_init.datasources`.
    pub fn name(self) -> &'static str {
        match self {
            Format::ConfigDrive => "configdrive",
            Format::NoCloud => "nocloud",
        }
    }

    /// The format a file system's label stands for; labels on FAT are in capitals.
    pub fn of_label(label: &str) -> Option<Format> {
        match label.to_ascii_lowercase().as_str() {
            "config-2" => Some(Format::ConfigDrive),
            "cidata" => Some(Format::NoCloud),
            _ => None,
        }
    }

    /// User data, metadata and the network's description.
    fn files(self) -> [&'static str; 3] {
        match self {
            Format::ConfigDrive => [
                "openstack/latest/user_data",
                "openstack/latest/meta_data.json",
                "openstack/latest/network_data.json",
            ],
            Format::NoCloud => nocloud::FILES,
        }
    }
}

/// Media that carries user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The block device.
    pub device: PathBuf,
    /// Type of its file system, for mount(2).
    pub file_system: &'static str,
    /// What is on it.
    pub format: Format,
}

/// What media said. A part that cannot be read is a separate error: the other part still counts.
#[derive(Debug)]
pub struct Contents {
    /// The user data file, unparsed; `None` when there is none.
    pub user_data: Result<Option<Vec<u8>>>,
    /// The metadata file; `None` when there is none.
    pub metadata: Result<Option<Metadata>>,
    /// What is not taken of the network's description, each with its key.
    pub notes: Vec<String>,
}

/// The tag of a config drive that a hypervisor shares by 9p (OpenStack, `nova`; RancherOS's).
const SHARE: &str = "config-2";
/// Type of its file system.
const NINE_P: &str = "9p";

/// The devices that carry user data, by their labels, and a share that a hypervisor gives.
pub fn list() -> Vec<Media> {
    let mut found = labelled();
    found.extend(share());
    found
}

/// The share, if there is one: whether its tag is that of a config drive shows when it is mounted, which has the kernel load its driver.
fn share() -> Option<Media> {
    if !has_shares(Path::new("/sys/bus/virtio/devices")) {
        return None;
    }
    let media = Media {
        device: SHARE.into(),
        file_system: NINE_P,
        format: Format::ConfigDrive,
    };
    let mounted = mounted(&media, Path::new("/run/cloud-init/share"), |_| ());
    mounted.is_ok().then_some(media)
}

/// Whether a hypervisor shares a directory: virtio's device type 9 (virtio specification, 5).
fn has_shares(devices: &Path) -> bool {
    let devices = std::fs::read_dir(devices).into_iter().flatten().flatten();
    let mut types = devices.map(|device| std::fs::read_to_string(device.path().join("device")));
    types.any(|text| text.is_ok_and(|text| text.trim() == "0x0009"))
}

fn labelled() -> Vec<Media> {
    let devices = blockdev::list().into_iter();
    let found = devices.filter_map(|device| {
        let superblock = blockdev::probe(&device.path)?;
        let format = Format::of_label(superblock.label.as_deref()?)?;
        let file_system = match superblock.kind {
            blockdev::Kind::Iso9660 => "iso9660",
            blockdev::Kind::Vfat => "vfat",
            blockdev::Kind::Ext4 => "ext4",
            _ => return None,
        };
        let media = Media {
            device: device.path,
            file_system,
            format,
        };
        Some((media, device.parent))
    });
    without_parts(found.collect())
}

/// Leaves out the partitions of a disk that is itself in the list: the disk of a hybrid image (isohybrid(1)) and its first partition
/// have the same file system.
fn without_parts(found: Vec<(Media, Option<PathBuf>)>) -> Vec<Media> {
    let whole: Vec<PathBuf> = found
        .iter()
        .map(|(media, _)| media.device.clone())
        .collect();
    let is_whole = |parent: &Option<PathBuf>| !parent.as_ref().is_some_and(|p| whole.contains(p));
    let found = found.into_iter().filter(|(_, parent)| is_whole(parent));
    found.map(|(media, _)| media).collect()
}

/// The media of a format that is read, and what is to be said when there are others.
pub fn choose(all: &[Media], format: Format) -> Option<(&Media, Option<String>)> {
    let mut fitting = all.iter().filter(|media| media.format == format);
    let first = fitting.next()?;
    let others: Vec<String> = fitting
        .map(|media| media.device.display().to_string())
        .collect();
    let said = (!others.is_empty()).then(|| {
        format!(
            "{} is on several disks: {} is read, {} left alone",
            format.name(),
            first.device.display(),
            others.join(" and ")
        )
    });
    Some((first, said))
}

/// Discs that may hold a file of properties: ISO 9660 or UDF, whatever their label.
pub(crate) fn discs() -> Vec<Media> {
    let devices = blockdev::list().into_iter();
    devices
        .filter_map(|device| {
            let file_system = match blockdev::probe(&device.path)?.kind {
                blockdev::Kind::Iso9660 => "iso9660",
                blockdev::Kind::Udf => "udf",
                _ => return None,
            };
            Some(Media {
                device: device.path,
                file_system,
                format: Format::NoCloud,
            })
        })
        .collect()
}

/// Mounts the media read-only at `mount_point`, reads its files, and unmounts it.
///
/// # Errors
/// When it cannot be mounted.
pub fn read(media: &Media, mount_point: &Path) -> Result<Contents> {
    mounted(media, mount_point, |directory| {
        read_directory(directory, media.format)
    })
}

/// Mounts the media read-only at `mount_point`, does something with its files, and unmounts it.
///
/// # Errors
/// When it cannot be mounted.
pub(crate) fn mounted<T>(
    media: &Media,
    mount_point: &Path,
    work: impl FnOnce(&Path) -> T,
) -> Result<T> {
    std::fs::create_dir_all(mount_point)
        .map_err(|error| Error::file("create", mount_point, error))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = match media.file_system {
        NINE_P => "trans=virtio,version=9p2000.L",
        _ => "",
    };
    mount::mount(
        &media.device,
        mount_point,
        media.file_system,
        flags,
        options,
    )?;
    let result = work(mount_point);
    // Lazily: an open file elsewhere must not hold up the boot, and the namespace ends with this process.
    let _ = mount::unmount(mount_point, UnmountFlags::DETACH);
    Ok(result)
}

/// Reads the files of a format below `directory`.
pub fn read_directory(directory: &Path, format: Format) -> Contents {
    let [user_data, meta_data, network] = format.files();
    let mut contents = Contents {
        user_data: read_bounded(&directory.join(user_data), user_data::MAX_BYTES),
        metadata: read_metadata(&directory.join(meta_data), format),
        notes: Vec::new(),
    };
    let described = read_text(&directory.join(network)).map(|text| {
        text.map(|text| match format {
            Format::ConfigDrive => match serde_json::from_str(&text) {
                Ok(value) => Ok(Some(network::openstack::translate(&value))),
                Err(error) => Err(error.to_string()),
            },
            Format::NoCloud => network::network_config(&text),
        })
    });
    match described {
        Ok(None) => {}
        Ok(Some(described)) => contents.add_network(network, described),
        Err(error) => contents.notes.push(error.to_string()),
    }
    contents
}

impl Contents {
    /// Adds what `file` says of the network to the metadata, and what could not be taken to the notes.
    pub(crate) fn add_network(
        &mut self,
        file: &str,
        described: std::result::Result<Option<Network>, String>,
    ) {
        let network = match described {
            Ok(Some(network)) => network,
            Ok(None) => return,
            Err(error) => {
                self.notes.push(format!("{file}: {error}"));
                return;
            }
        };
        let notes = network.notes.iter().map(|note| format!("{file}: {note}"));
        self.notes.extend(notes);
        // Damaged metadata is not replaced by a network alone: its error must be seen.
        if let Ok(metadata) = &mut self.metadata {
            metadata.get_or_insert_default().network = network.to_json();
        }
    }
}

fn read_metadata(path: &Path, format: Format) -> Result<Option<Metadata>> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    match format {
        Format::ConfigDrive => metadata::openstack(&text).map(Some),
        Format::NoCloud => metadata::no_cloud(&text).map(Some),
    }
}

fn read_text(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = read_bounded(path, metadata::MAX_BYTES)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes);
    text.map(Some)
        .map_err(|error| Error::Metadata(format!("{}: {error}", path.display())))
}

/// A regular file of at most `limit` bytes; `None` when it does not exist.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let failed = |error| Error::file("read", path, error);
    // Opening a fifo on the media would wait for a writer.
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(failed(std::io::Error::other("not a regular file"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
