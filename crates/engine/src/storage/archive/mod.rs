//! `docker cp` and `docker export`: archives of a container's files, in both directions. Workers look, pack and unpack;
//! PID 1 opens nothing of a container.

mod stat;
mod view;

use engine_api::options::{ArchivePutOptions, ByteStream};
use engine_api::{Error, PathStat, Result};
use images::worker::{Said, Started, Worker, drain, feed};
use oci_image::task::{FilePath, FileStat, Files, FilesAction, Outcome, Task};
use tokio::sync::mpsc;

use crate::Engine;
use crate::container::{ANSWER_MOST, Container, clean};
use stat::{base_name, path_stat};
use view::Held;

/// Pieces of an archive on their way to a client, of 64 KiB each: what one that does not read costs PID 1.
const DEPTH: usize = 4;

impl Engine {
    /// `HEAD /containers/{id}/archive`.
    ///
    /// # Errors
    /// 404 for the container or the path.
    pub async fn archive_stat(&self, reference: &str, path: &str) -> Result<PathStat> {
        let container = self.find(reference)?;
        let action = FilesAction::Stat(file_path(path, reference));
        let (mut started, _held) = self.files_task(&container, action).await?;
        let stat = stat_of(&mut started.worker).await?;
        started.worker.outcome().await?;
        Ok(path_stat(stat))
    }

    /// `GET /containers/{id}/archive`: the archive's names begin with the last part of the path.
    ///
    /// # Errors
    /// 404 for the container or the path.
    pub async fn archive_get(&self, reference: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let container = self.find(reference)?;
        let action = FilesAction::Read(file_path(path, reference));
        let (mut started, held) = self.files_task(&container, action).await?;
        let stat = stat_of(&mut started.worker).await?;
        self.publish(&container, "archive-path");
        Ok((path_stat(stat), stream(started, held)))
    }

    /// `PUT /containers/{id}/archive`.
    ///
    /// # Errors
    /// 404, 400 when the path is not a directory or is read-only, 500 when the archive is damaged.
    pub async fn archive_put(
        &self,
        reference: &str,
        options: ArchivePutOptions,
        body: ByteStream,
    ) -> Result<()> {
        let container = self.find(reference)?;
        let user = container.record().config.user.clone();
        // As Docker: the owners are the archive's, or with `copyUIDGID` the container's own user, if it has one.
        let owner = if options.copy_uid_gid && !user.is_empty() {
            self.mount_rootfs(&container)?;
            let (root, runtime) = (&container.layout.rootfs, &self.0.runtime);
            let account = runtime.account(root, &user, ANSWER_MOST).await;
            let account = account.map_err(|error| Error::server(error.message))?;
            Some((account.uid, account.gid))
        } else {
            None
        };
        let action = FilesAction::Write {
            path: file_path(&options.path.to_string_lossy(), reference),
            keep_kinds: options.no_overwrite_dir_non_dir,
            owner,
        };
        let (started, _held) = self.files_task(&container, action).await?;
        let Started {
            mut worker, input, ..
        } = started;
        let feeder = engine_api::tasks::spawn(feed(input, body, worker.movement()));
        let unpacked = worker.outcome().await;
        feeder.abort();
        unpacked?;
        self.publish(&container, "extract-to-dir");
        Ok(())
    }

    /// `GET /containers/{id}/export`.
    ///
    /// # Errors
    /// 404, 500 when the root file system cannot be mounted.
    pub async fn container_export(&self, reference: &str) -> Result<ByteStream> {
        let container = self.find(reference)?;
        let (started, held) = self.files_task(&container, FilesAction::Export).await?;
        self.publish(&container, "export");
        Ok(stream(started, held))
    }

    /// Starts a worker on a container's files. What the second value holds must last as long as the worker.
    async fn files_task(
        &self,
        container: &std::rc::Rc<Container>,
        action: FilesAction,
    ) -> Result<(Started, Held)> {
        let everything = action != FilesAction::Export;
        let (view, held) = self.view(container, everything).await?;
        let reads = !matches!(action, FilesAction::Write { .. });
        let mut started = self
            .images()
            .start(Task::Files(Files { view, action }))
            .await?;
        if reads {
            started.close_input();
        }
        Ok((started, held))
    }
}

/// A path as a worker needs it.
fn file_path(path: &str, container: &str) -> FilePath {
    FilePath {
        clean: clean(path).into(),
        directory: path.ends_with('/') || path.ends_with("/."),
        name: base_name(path),
        shown: path.to_owned(),
        container: container.to_owned(),
    }
}

/// What a worker says first of a path.
async fn stat_of(worker: &mut Worker) -> Result<FileStat> {
    match worker.next().await? {
        Said::Stat(stat) => Ok(stat),
        _ => Err(Error::server("worker said nothing of the path")),
    }
}

/// What a worker writes, as a stream; a worker that fails ends it with an error.
fn stream(started: Started, held: Held) -> ByteStream {
    let (sender, receiver) = mpsc::channel(DEPTH);
    engine_api::tasks::spawn(async move {
        let _held = held;
        let Started {
            mut worker, output, ..
        } = started;
        if !drain(output, &sender).await {
            return;
        }
        let ended: Result<Outcome> = worker.outcome().await;
        if let Err(error) = ended {
            // the client may have gone
            let _ = sender.send(Err(std::io::Error::other(error.message))).await;
        }
    });
    receiver
}
