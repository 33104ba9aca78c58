//! The engine's side of looking at paths: it waits for answers, and not for the file systems.

use std::time::Duration;

use sys::namespace::CloneFlags;

use super::{Launch, NativeRuntime, write_job};
use crate::protocol::{Found, Job, LookAt, Report};
use crate::{Error, ErrorKind, Result, Stdio};

impl NativeRuntime {
    /// Looks at paths of the machine, one after the other, in a process that is killed when one of them takes longer than
    /// `deadline`.
    ///
    /// # Errors
    /// When the process cannot be started, or a path does not answer: it is named.
    pub async fn look(&self, paths: &[LookAt], deadline: Duration) -> Result<Vec<Found>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let job = write_job(&Job::Look {
            paths: paths.to_vec(),
        })?;
        let launched = self.launch(helper("look"), job)?;
        let mut found = Vec::new();
        let mut outcome = Ok(());
        for wanted in paths {
            match launched.control.recv(deadline).await {
                Ok((Report::Found(one), _)) => found.push(one),
                Ok((Report::Failed(error), _)) => outcome = Err(error),
                Ok((report, _)) => {
                    outcome = Err(Error::other(format!(
                        "look at {}: unexpected report {report:?}",
                        wanted.path
                    )));
                }
                Err(error) if error.kind == ErrorKind::TimedOut => {
                    let seconds = deadline.as_secs();
                    outcome = Err(Error::new(
                        ErrorKind::TimedOut,
                        format!("{} has not answered for {seconds} s", wanted.path),
                    ));
                }
                Err(error) => outcome = Err(error),
            }
            if outcome.is_err() {
                break;
            }
        }
        launched.discard().await;
        outcome.map(|()| found)
    }

    /// Reads files in a process that is killed when one of them takes longer than `deadline`: even a file of /proc can wait
    /// for a container, whose memory it shows. That file and those after it are left out.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub async fn read(&self, paths: &[String], deadline: Duration) -> Result<Vec<Vec<u8>>> {
        let mut contents = Vec::new();
        if paths.is_empty() {
            return Ok(contents);
        }
        let job = write_job(&Job::Read {
            paths: paths.to_vec(),
        })?;
        let launched = self.launch(helper("read"), job)?;
        let mut content = Vec::new();
        while contents.len() < paths.len() {
            match launched.control.recv(deadline).await {
                Ok((Report::Part(part), _)) if part.is_empty() => {
                    contents.push(std::mem::take(&mut content));
                }
                Ok((Report::Part(part), _)) => content.extend(part),
                _ => break,
            }
        }
        launched.discard().await;
        Ok(contents)
    }
}

/// A process that needs nothing but its job.
pub(super) fn helper(verb: &str) -> Launch<'_> {
    Launch {
        verb,
        namespaces: CloneFlags::empty(),
        stdio: &Stdio::Null,
        into: None,
        pass: &[],
    }
}
