//! `cp`: files between a container and here, by Docker's rules for names.
//!
//! The engine speaks tar, and knows a directory and what is in it. What a copy is called at its end is decided here, and
//! the archive is made, or read, under that name: no other program is asked, and nothing but a few pieces is in memory.

mod pack;
mod path;
mod place;
mod stream;
mod unpack;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use engine_api::body::Body;
use engine_api::client::ByteStream;
use engine_api::options::ArchivePutOptions;
use engine_api::{Client, PathStat, units};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::arguments::Cp;
use super::transfer::receive;
use path::{absolute, container_path, is_content, names_directory, split};
use place::{Place, Target, place};
use stream::{DEPTH, Incoming, Outgoing};
use unpack::Names;

/// Written to the engine at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Bits of Go's os.FileMode, which the engine's answer carries.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_IRREGULAR: u32 = 1 << 19;

/// `cp`
pub(crate) async fn copy(client: &Client, options: &Cp) -> anyhow::Result<()> {
    if options.source.is_empty() {
        bail!("source can not be empty");
    }
    if options.target.is_empty() {
        bail!("destination can not be empty");
    }
    let (size, target) = match (
        container_path(&options.source),
        container_path(&options.target),
    ) {
        (Some((container, path)), None) => from_container(client, container, path, options).await?,
        (None, Some((container, path))) => to_container(client, container, path, options).await?,
        (Some(_), Some(_)) => bail!("copying between containers is not supported"),
        (None, None) => bail!("must specify at least one container source"),
    };
    let quiet = options.quiet.unwrap_or(!io::stdout().is_terminal());
    if !quiet && options.target != "-" {
        eprintln!("Successfully copied {} to {target}", units::size(size));
    }
    Ok(())
}

/// The bytes that were copied, and where they are.
type Copied = (u64, String);

async fn from_container(
    client: &Client,
    container: &str,
    path: &str,
    options: &Cp,
) -> anyhow::Result<Copied> {
    let (path, name) = match options.follow_link {
        true => followed(client, container, path).await,
        false => (path.to_owned(), None),
    };
    if options.target == "-" {
        let (_, archive) = client.archive_get(container, &path).await?;
        receive(archive, None).await?;
        return Ok((0, String::new()));
    }
    let here = here()?;
    let target = place::local(&absolute(&options.target, &here))?;
    let (stat, archive) = client.archive_get(container, &path).await?;
    let mut place = place(is_directory(&stat), &target)?;
    place.name = place.name.or(name);
    let size = unpack_here(archive, place, options.archive).await?;
    Ok((size, absolute(&options.target, &here)))
}

/// Where a link in a container leads, and the name that the copy has all the same: the link's.
async fn followed(client: &Client, container: &str, path: &str) -> (String, Option<String>) {
    // When it cannot be looked at, the answer to the copy says why.
    let stat = client.archive_stat(container, path).await.ok();
    let Some(link) = stat.filter(|stat| stat.mode & GO_SYMLINK != 0) else {
        return (path.to_owned(), None);
    };
    let (folder, name) = split(path);
    (absolute(&link.link_target, &folder), Some(name))
}

async fn unpack_here(mut archive: ByteStream, place: Place, owners: bool) -> anyhow::Result<u64> {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let unpacking = spawn_blocking(move || {
        let names = Names::new(place.name);
        unpack::unpack(
            Incoming::new(receiver),
            Path::new(&place.folder),
            names,
            owners,
        )
    });
    let mut size = 0;
    let received = loop {
        let piece = match archive.next().await {
            Ok(Some(piece)) => piece,
            end => break end.map(drop),
        };
        size += piece.len() as u64;
        if sender.send(piece).await.is_err() {
            break Ok(()); // unpacking has failed, which is told below
        }
    };
    drop(sender);
    let unpacked = unpacking.await.context("the copy was broken off")?;
    // An archive that breaks off cannot be unpacked: the reason is the first of the two.
    received?;
    unpacked?;
    Ok(size)
}

async fn to_container(
    client: &Client,
    container: &str,
    path: &str,
    options: &Cp,
) -> anyhow::Result<Copied> {
    let target = target_in(client, container, path).await?;
    let shown = format!("{container}:{}", target.path);
    if options.source == "-" {
        if !target.directory {
            bail!("destination \"{container}:{path}\" must be a directory");
        }
        let sent = send(client, container, &target.path, options.archive, |out| {
            let copied = io::copy(&mut io::stdin(), out);
            copied
                .map(drop)
                .map_err(|error| sys::Error::new("copy standard input", error))
        });
        return Ok((sent.await?, shown));
    }
    let source = Source::find(&absolute(&options.source, &here()?), options.follow_link)?;
    let place = place(source.directory, &target)?;
    let name = place.name.unwrap_or(source.name);
    let sent = send(
        client,
        container,
        &place.folder,
        options.archive,
        move |out| pack::pack(&source.path, &name, out),
    );
    Ok((sent.await?, shown))
}

/// Sends what `produce` writes to be unpacked in `folder`, and says how many bytes that was.
async fn send(
    client: &Client,
    container: &str,
    folder: &str,
    archive: bool,
    produce: impl FnOnce(&mut dyn Write) -> sys::Result<()> + Send + 'static,
) -> anyhow::Result<u64> {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let (done, mut produced) = oneshot::channel();
    // Not a task of the event loop, which would wait for it: who types the archive may never end it.
    std::thread::spawn(move || {
        let broken = sender.clone();
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, Outgoing::new(sender));
        let result = produce(&mut out).and_then(|()| {
            let flushed = out.flush();
            flushed.map_err(|error| sys::Error::new("send the archive", error))
        });
        let failed = result.is_err();
        let _ = done.send(result.map(|()| out.get_ref().bytes));
        if failed {
            // The engine must not take half an archive for a whole one.
            let _ = broken.blocking_send(Err(io::ErrorKind::UnexpectedEof.into()));
        }
    });
    let options = ArchivePutOptions {
        path: PathBuf::from(folder),
        no_overwrite_dir_non_dir: true,
        copy_uid_gid: archive,
    };
    let body = Body::Stream(receiver);
    match client.archive_put(container, &options, body).await {
        Ok(()) => Ok(produced.await.context("the copy was broken off")??),
        Err(refused) => match produced.try_recv() {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Err(refused.into()),
        },
    }
}

/// What is at a path in a container, at its end when it is a link. What cannot be looked at counts as missing, as with
/// Docker: the engine's answer to the copy says why.
async fn target_in(client: &Client, container: &str, path: &str) -> anyhow::Result<Target> {
    let mut end = path.to_owned();
    let mut stat = client.archive_stat(container, path).await.ok();
    if let Some(link) = stat.take_if(|stat| stat.mode & GO_SYMLINK != 0) {
        end = absolute(&link.link_target, &split(path).0);
        stat = client.archive_stat(container, &end).await.ok();
    }
    let mode = stat.as_ref().map_or(0, |stat| stat.mode);
    for (bit, kind) in [(GO_DEVICE, "a device"), (GO_IRREGULAR, "an irregular file")] {
        if mode & bit != 0 {
            bail!(
                "destination \"{container}:{path}\" must be a directory or a regular file: got {kind}"
            );
        }
    }
    Ok(Target {
        exists: stat.is_some(),
        directory: stat.as_ref().is_some_and(is_directory),
        path: end,
    })
}

fn is_directory(stat: &PathStat) -> bool {
    stat.mode & GO_DIRECTORY != 0
}

/// What is copied from here.
struct Source {
    path: PathBuf,
    name: String,
    directory: bool,
}

impl Source {
    fn find(path: &str, follow: bool) -> anyhow::Result<Self> {
        // With a `/` or `/.` at its end a path means the directory that a link leads to.
        let follow = follow || names_directory(path);
        let what = |error| sys::Error::new(format!("lstat {path}"), error);
        let found = match follow {
            true => std::fs::metadata(path).map_err(what)?,
            false => std::fs::symlink_metadata(path).map_err(what)?,
        };
        let end = match follow {
            true => std::fs::canonicalize(path).map_err(what)?,
            false => PathBuf::from(path),
        };
        let name = match split(path).1 {
            // The root directory has no name that it could have elsewhere.
            name if name == "/" || is_content(path) => ".".to_owned(),
            name => name,
        };
        Ok(Self {
            path: end,
            name,
            directory: found.is_dir(),
        })
    }
}

fn here() -> anyhow::Result<String> {
    let here = std::env::current_dir().context("cannot find the working directory")?;
    Ok(here.to_string_lossy().into_owned())
}
