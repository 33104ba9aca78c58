//! `docker cp` and `docker export`: archives of a container's files, in both directions.

mod channel;
mod place;
mod stat;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use bytes::Bytes;
use engine_api::{Error, PathStat, Result};
use oci_transfer::layer::{Entry, Form, Kind, PackOptions, TarWriter, UnpackOptions, pack, unpack};
use rustix::fs::FileType;

use super::resolve::{Root, descriptor_path};
use crate::Engine;
use crate::options::{ArchivePutOptions, ByteStream};
use channel::{ChannelReader, ChannelWriter, produce};
use place::Place;
use stat::stat;

impl Engine {
    /// `HEAD /containers/{id}/archive`.
    ///
    /// # Errors
    /// 404 for the container or the path.
    pub async fn archive_stat(&self, reference: &str, path: &str) -> Result<PathStat> {
        let container = self.find(reference)?;
        let place = self.place(&container, path).await?;
        let (path, id) = (path.to_owned(), reference.to_owned());
        blocking(move || stat(&place, &path, &id)).await
    }

    /// `GET /containers/{id}/archive`: the archive's names begin with the last part of the path.
    ///
    /// # Errors
    /// 404 for the container or the path.
    pub async fn archive_get(&self, reference: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let container = self.find(reference)?;
        let place = self.place(&container, path).await?;
        let (wanted, id) = (path.to_owned(), reference.to_owned());
        let looked = blocking(move || Ok((stat(&place, &wanted, &id)?, place)));
        let (stat, place) = looked.await?;
        let name = stat.name.clone();
        let as_directory = path.ends_with('/') || path.ends_with("/.");
        let stream = produce(move |out| {
            let root = place.open()?;
            let file = if as_directory {
                root.open_path(&place.path)?
            } else {
                root.open_link(&place.path)?
            };
            write_archive(&root, &place.path, &file, &name, out)
        });
        self.publish(&container, "archive-path");
        Ok((stat, stream))
    }

    /// `PUT /containers/{id}/archive`.
    ///
    /// # Errors
    /// 404, 400 when the path is no directory, is read-only, or the archive is damaged.
    pub async fn archive_put(
        &self,
        reference: &str,
        options: ArchivePutOptions,
        body: ByteStream,
    ) -> Result<()> {
        let container = self.find(reference)?;
        let text = options.path.to_string_lossy().into_owned();
        let place = self.place(&container, &text).await?;
        let id = reference.to_owned();
        let user = container.record().config.user.clone();
        // As Docker: the owners are the archive's, or with `copyUIDGID` the container's own user, if it has one.
        let owner = if options.copy_uid_gid && !user.is_empty() {
            self.mount_rootfs(&container)?;
            let account = crate::runtime::account_in(&container.layout.rootfs, &user)
                .map_err(|error| Error::server(error.message))?;
            Some((account.uid, account.gid))
        } else {
            None
        };
        blocking(move || put(&place, &options, owner, body, (&text, &id))).await?;
        self.publish(&container, "extract-to-dir");
        Ok(())
    }

    /// `GET /containers/{id}/export`.
    ///
    /// # Errors
    /// 404, 500 when the root file system cannot be mounted.
    pub async fn container_export(&self, reference: &str) -> Result<ByteStream> {
        let container = self.find(reference)?;
        self.mount_rootfs(&container)?;
        let rootfs = container.layout.rootfs.clone();
        self.publish(&container, "export");
        Ok(produce(move |out| {
            let mut tar = TarWriter::new(out);
            let options = PackOptions {
                form: Form::Plain,
                include_root: false,
                prefix: Vec::new(),
            };
            pack(&rootfs, &mut tar, &options).map_err(io::Error::other)?;
            tar.finish().map(drop).map_err(io::Error::other)
        }))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::server(error.to_string()))?
}

fn not_there(path: &str, id: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotADirectory => Error::server(format!("{path}: not a directory")),
        io::ErrorKind::NotFound => {
            Error::not_found(format!("Could not find the file {path} in container {id}"))
        }
        _ => Error::server(format!("{path} in container {id}: {error}")),
    }
}

fn write_archive(
    root: &Root,
    path: &Path,
    file: &OwnedFd,
    name: &str,
    out: ChannelWriter,
) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    let mut tar = TarWriter::new(out);
    let prefix = if name == "/" {
        Vec::new()
    } else {
        name.as_bytes().to_vec()
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let options = PackOptions {
            form: Form::Plain,
            include_root: true,
            prefix,
        };
        pack(&descriptor_path(file), &mut tar, &options).map_err(io::Error::other)?;
    } else {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            _ => {
                return Err(io::Error::other(format!(
                    "{} is a socket, which no archive can hold",
                    path.display()
                )));
            }
        };
        let mut entry = Entry::new(prefix, kind, stat.st_mode & 0o7777);
        (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
        entry.mtime = (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        );
        entry.device = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        if kind == Kind::Symlink {
            entry.link = rustix::fs::readlinkat(file, "", Vec::new())?.into_bytes();
        }
        if kind == Kind::File {
            entry.size = u64::try_from(stat.st_size).unwrap_or(0);
            let mut data = File::from(root.open_file(path)?);
            tar.append(&entry, &mut data).map_err(io::Error::other)?;
        } else {
            tar.append_empty(&entry).map_err(io::Error::other)?;
        }
    }
    tar.finish().map(drop).map_err(io::Error::other)
}

fn put(
    place: &Place,
    options: &ArchivePutOptions,
    owner: Option<(u32, u32)>,
    body: ByteStream,
    (path, id): (&str, &str),
) -> Result<()> {
    let root = place.open().map_err(|error| not_there(path, id, &error))?;
    let directory = root
        .open_path(&place.path)
        .map_err(|error| not_there(path, id, &error))?;
    let stat = rustix::fs::fstat(&directory).map_err(|error| not_there(path, id, &error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Error::bad_parameter("extraction point is not a directory"));
    }
    place.check_writable(&root, &directory)?;
    let unpacking = UnpackOptions {
        below: place
            .path
            .to_string_lossy()
            .trim_start_matches('/')
            .as_bytes()
            .to_vec(),
        keep_kinds: options.no_overwrite_dir_non_dir,
        owner,
        ..UnpackOptions::plain()
    };
    unpack(
        ChannelReader {
            body,
            rest: Bytes::new(),
        },
        &place.root,
        unpacking,
    )
    .map(drop)
    .map_err(|error| {
        Error::new(
            http::StatusCode::from_u16(error.status()).unwrap_or(http::StatusCode::BAD_REQUEST),
            error.to_string(),
        )
    })
}
