//! The engine's side of jobs that have one answer: it waits for the answer, and not for the file systems behind it.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sys::process::Signal;

use super::launched::Launched;
use super::look::helper;
use super::{NativeRuntime, write_job};
use crate::oci::Device;
use crate::protocol::{Job, MountRequest, Report};
use crate::{Account, Error, ErrorKind, Result};

/// Longest answer that is taken, bytes: the nodes of a large /dev have some MiB.
const ANSWER_MOST: usize = 16 * 1024 * 1024;

impl NativeRuntime {
    /// Whom `text` means in the container whose root file system is at `root`; for owners of files that are copied into it.
    ///
    /// # Errors
    /// As for the process of a container; when there is no answer for `deadline`.
    pub async fn account(&self, root: &Path, text: &str, deadline: Duration) -> Result<Account> {
        let job = Job::Account {
            root: root.to_owned(),
            text: text.to_owned(),
        };
        let what = format!("the file with user {text:?}");
        self.ask("account", &job, &what, deadline).await
    }

    /// Device nodes by the paths of a request: why there are none, or each with its path below the directory that was named.
    ///
    /// # Errors
    /// When the process cannot be started, or there is no answer for `deadline`.
    pub async fn nodes(
        &self,
        paths: &[String],
        deadline: Duration,
    ) -> Result<Vec<std::result::Result<Vec<Device>, String>>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let job = Job::Nodes {
            paths: paths.to_vec(),
        };
        self.ask("nodes", &job, &paths.join(", "), deadline).await
    }

    /// Mounts in the engine's namespace.
    ///
    /// # Errors
    /// What mount(2) refuses; when it takes longer than `deadline`: it may be there all the same, in its last instant.
    pub async fn mount(&self, wanted: &MountRequest, deadline: Duration) -> Result<()> {
        let job = Job::Mount(wanted.clone());
        self.ask("mount", &job, &wanted.device, deadline).await
    }

    /// Takes a mount of the engine's namespace away, also one that is in use.
    ///
    /// # Errors
    /// What umount2(2) refuses; when it takes longer than `deadline`.
    pub async fn unmount(&self, target: &Path, deadline: Duration) -> Result<()> {
        let job = Job::Unmount {
            target: target.to_owned(),
        };
        let what = target.display().to_string();
        self.ask("unmount", &job, &what, deadline).await
    }

    /// How many bytes of a disk a directory takes. A large one takes its time; one of which nothing is heard does not.
    ///
    /// # Errors
    /// When its file system has not answered for `deadline`.
    pub async fn measure(&self, directory: &Path, deadline: Duration) -> Result<u64> {
        let job = Job::Measure {
            directory: directory.to_owned(),
        };
        let what = directory.display().to_string();
        self.ask("measure", &job, &what, deadline).await
    }

    /// Does a job in a process that is killed when nothing is heard of it for `deadline`. `what` is what it waits for.
    async fn ask<T: DeserializeOwned>(
        &self,
        verb: &str,
        job: &Job,
        what: &str,
        deadline: Duration,
    ) -> Result<T> {
        let mut asked = Asked(Some(self.launch(helper(verb), write_job(job)?)?));
        let answer = match &asked.0 {
            Some(launched) => converse(launched, what, deadline).await,
            None => Err(Error::other("there is nobody to ask")),
        };
        if let Some(launched) = asked.0.take() {
            launched.discard().await;
        }
        json_reader::from_slice(&answer?)
            .map_err(|error| Error::other(format!("answer about {what}: {error}")))
    }
}

/// Hears the answer to its end.
async fn converse(launched: &Launched, what: &str, deadline: Duration) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        match launched.control.recv(deadline).await {
            Ok((Report::Part(part), _)) if part.is_empty() => return Ok(answer),
            Ok((Report::Part(part), _)) if answer.len() + part.len() <= ANSWER_MOST => {
                answer.extend(part);
            }
            Ok((Report::Busy, _)) => {}
            Ok((Report::Failed(error), _)) => return Err(error),
            Ok((report, _)) => {
                return Err(Error::other(format!("{what}: unexpected {report:?}")));
            }
            Err(error) if error.kind == ErrorKind::TimedOut => {
                let seconds = deadline.as_secs();
                let words = format!("{what} has not answered for {seconds} s");
                return Err(Error::new(ErrorKind::TimedOut, words));
            }
            Err(error) => return Err(error),
        }
    }
}

/// A process that is killed also when nobody waits for its answer any more. The engine's reaper waits for its end then.
struct Asked(Option<Launched>);

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(launched) = &self.0 {
            let _ = launched.child.pidfd.send_signal(Signal::KILL);
        }
    }
}
