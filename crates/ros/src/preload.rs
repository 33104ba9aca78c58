//! `ros preload-images`: images from the media and from the user's directories into the two Dockers, each once.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use engine_api::{Body, Client, Engine as _};
use machine_config::preload::{self as places, NOTE_ENDING};
use tokio::sync::mpsc;

/// User Docker's socket.
const USER_DOCKER: &str = "/run/docker.sock";
/// Images the media brings.
const MEDIA_IMAGES: &str = "/run/rancher/media/rancheros/user-images";
/// System Docker's socket.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
/// Longest wait for User Docker (RancherOS's wait-for-docker: 300 s).
const DOCKER_DEADLINE: Duration = Duration::from_secs(300);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// A stamp has two numbers.
const LONGEST_STAMP: u64 = 1 << 10;
/// Chunks read ahead of the daemon.
const CHUNKS_AHEAD: usize = 4;

/// A file to load and where its stamp is.
#[derive(Debug, PartialEq, Eq)]
struct Archive {
    path: PathBuf,
    stamp: PathBuf,
}

/// Waits for User Docker to answer.
pub(crate) fn wait_for_docker() -> anyhow::Result<ExitCode> {
    system_docker::event_loop()?.block_on(answering(&Client::new(USER_DOCKER)))?;
    Ok(ExitCode::SUCCESS)
}

/// Loads what is not loaded yet. One file that fails does not keep the others out.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let pending = |archives: Vec<Archive>| -> Vec<Archive> {
        let archives = archives.into_iter();
        archives.filter(|archive| !is_loaded(archive)).collect()
    };
    let users = pending(for_user_docker());
    let systems = pending(archives(Path::new(places::SYSTEM_DOCKER), None));
    if users.is_empty() && systems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    // System Docker's first: it answers already, and a service may wait for its image.
    let failed = system_docker::event_loop()?.block_on(async {
        let failed = load_all(&Client::new(SYSTEM_DOCKER), &systems).await;
        if users.is_empty() {
            return Ok(failed);
        }
        let client = Client::new(USER_DOCKER);
        answering(&client).await?;
        anyhow::Ok(load_all(&client, &users).await | failed)
    })?;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What User Docker is to have: of the media, then the user's own.
fn for_user_docker() -> Vec<Archive> {
    let media = archives(Path::new(MEDIA_IMAGES), Some(Path::new(places::OF_MEDIA)));
    let own = archives(Path::new(places::USER_DOCKER), None);
    media.into_iter().chain(own).collect()
}

/// Loads everything for User Docker once more: an image has lost a layer, and may be one of these. A whole one stays as it is.
pub(crate) async fn load_again(client: &Client) {
    // What fails is said, and looked for elsewhere.
    let _ = load_all(client, &for_user_docker()).await;
}

/// Has User Docker take the media's images in once more when it does not have `image`, which is one of them.
///
/// # Errors
/// When the media do not bring it, or User Docker does not take it.
pub(crate) async fn bring(client: &Client, image: &str) -> anyhow::Result<()> {
    bring_from(
        client,
        image,
        Path::new(MEDIA_IMAGES),
        Path::new(places::OF_MEDIA),
    )
    .await
}

async fn bring_from(
    client: &Client,
    image: &str,
    media: &Path,
    stamps: &Path,
) -> anyhow::Result<()> {
    if client.image_exists(image).await? {
        return Ok(());
    }
    load_all(client, &archives(media, Some(stamps))).await;
    ensure!(
        client.image_exists(image).await?,
        "User Docker does not have the image {image}, and the media do not bring it"
    );
    Ok(())
}

async fn answering(client: &Client) -> anyhow::Result<()> {
    let answers = async {
        while client.ping().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(DOCKER_DEADLINE, answers)
        .await
        .with_context(|| {
            format!(
                "user docker does not answer after {} s",
                DOCKER_DEADLINE.as_secs()
            )
        })
}

/// Loads them, one after the other; whether one of them failed.
async fn load_all(client: &Client, pending: &[Archive]) -> bool {
    let mut failed = false;
    for archive in pending {
        match load(client, archive).await {
            Ok(()) => println!("{}: loaded", archive.path.display()),
            Err(error) => {
                eprintln!("{}: {error:#}", archive.path.display());
                failed = true;
            }
        }
    }
    failed
}

/// Loads one file; the stamp is written only when the daemon has said that it succeeded.
async fn load(client: &Client, archive: &Archive) -> anyhow::Result<()> {
    let identity = identity(&archive.path)?;
    let mut progress = client.image_load(body(&archive.path)?).await?;
    while let Some(message) = progress.next().await? {
        if !message.error.is_empty() {
            bail!("{}", message.error);
        }
    }
    cloud_init::store::write_atomic(&archive.stamp, identity.as_bytes(), 0o644)?;
    Ok(())
}

/// A file as a request body, read by its own thread.
fn body(path: &Path) -> anyhow::Result<Body> {
    let mut file = sys::regular::open(path)?;
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let piece = file.read(&mut chunk).map(|length| {
                chunk.truncate(length);
                Bytes::from(chunk)
            });
            let last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
            if matches!(&piece, Ok(bytes) if bytes.is_empty())
                || sender.blocking_send(piece).is_err()
                || last
            {
                return;
            }
        }
    });
    Ok(Body::Stream(receiver))
}

/// Files of a directory in name order; stamps are in `stamps`, or next to the files.
fn archives(directory: &Path, stamps: Option<&Path>) -> Vec<Archive> {
    let ending = format!(".{NOTE_ENDING}");
    let mut archives: Vec<Archive> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            let is_archive =
                !name.starts_with('.') && !name.ends_with(&ending) && entry.path().is_file();
            is_archive.then(|| Archive {
                path: entry.path(),
                stamp: stamps.unwrap_or(directory).join(format!("{name}{ending}")),
            })
        })
        .collect();
    archives.sort_by(|a, b| a.path.cmp(&b.path));
    archives
}

/// What tells one version of a file from the next: size and time of change.
fn identity(path: &Path) -> anyhow::Result<String> {
    let metadata = fs::metadata(path).context("cannot look at it")?;
    Ok(format!("{} {}\n", metadata.len(), metadata.mtime()))
}

fn is_loaded(archive: &Archive) -> bool {
    let Ok(stamp) = sys::regular::read(&archive.stamp, LONGEST_STAMP) else {
        return false;
    };
    identity(&archive.path).is_ok_and(|identity| identity.as_bytes() == stamp)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_file_is_pending_until_its_stamp_fits() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.tar");
        fs::write(&file, "one").unwrap();
        fs::write(directory.path().join(".hidden"), "").unwrap();
        let found = archives(directory.path(), None);
        assert_eq!(
            found,
            [Archive {
                path: file.clone(),
                stamp: directory.path().join("a.tar.done")
            }]
        );
        assert!(!is_loaded(&found[0]));
        fs::write(&found[0].stamp, identity(&file).unwrap()).unwrap();
        assert!(is_loaded(&found[0]));
        assert_eq!(archives(directory.path(), None).len(), 1);
        fs::write(&file, "another").unwrap();
        assert!(!is_loaded(&found[0]));
        // A pipe in the place of the stamp is not waited for.
        fs::remove_file(&found[0].stamp).unwrap();
        let here = fs::File::open(directory.path()).unwrap();
        let kind = sys::fs::NodeKind::Fifo;
        sys::fs::make_node(here.as_fd(), Path::new("a.tar.done"), kind, 0o600, (0, 0)).unwrap();
        assert!(!is_loaded(&found[0]));
    }

    #[test]
    fn a_body_is_the_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        let content = vec![7; CHUNK_BYTES * 3 + 5];
        fs::write(&file, &content).unwrap();
        let Body::Stream(mut receiver) = body(&file).unwrap() else {
            panic!("not a stream")
        };
        let mut read = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            read.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(read, content);
    }

    #[test]
    fn an_image_that_its_owner_removed_is_brought_again() {
        use crate::fake_docker::FakeDocker;

        let folder = tempfile::tempdir().unwrap();
        let media = folder.path().join("media");
        fs::create_dir(&media).unwrap();
        let file = media.join("busybox.tar");
        fs::write(&file, "an image").unwrap();
        // It was loaded at an earlier boot, and is not pending
        let stamp = folder.path().join("busybox.tar.done");
        fs::write(&stamp, identity(&file).unwrap()).unwrap();
        let mut there = false;
        let docker = FakeDocker::start(move |asked| {
            there |= asked == "POST /images/load";
            match asked {
                "GET /images/busybox/json" if !there => (404, "{}".to_owned()),
                _ => (200, "{}".to_owned()),
            }
        });
        let bring = |image: &str, media: &Path| {
            let client = docker.client();
            FakeDocker::run(bring_from(&client, image, media, folder.path()))
        };
        let nothing = folder.path().join("nothing");
        let error = bring("busybox", &nothing).unwrap_err().to_string();
        assert!(error.contains("the media do not bring it"), "{error}");
        bring("busybox", &media).unwrap();
        bring("busybox", &media).unwrap();
        let asked = docker.asked();
        let loads = asked.iter().filter(|line| line.contains("/images/load"));
        assert_eq!(loads.count(), 1, "{asked:?}");
    }
}
