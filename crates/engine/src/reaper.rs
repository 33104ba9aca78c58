//! The one reaper: every child that ends, ours or an orphan that fell to PID 1, is waited for here.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sys::process::ExitStatus;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Statuses of children that nobody was waiting for yet: one that ends before its number is known is not lost.
const EARLY_MAX: usize = 256;

/// Hands the exit status of each child to whoever waits for it.
#[derive(Debug, Default)]
pub struct Reaper {
    waiting: RefCell<BTreeMap<i32, oneshot::Sender<ExitStatus>>>,
    early: RefCell<VecDeque<(i32, ExitStatus)>>,
}

impl Reaper {
    /// Starts to reap; inside a `LocalSet`.
    ///
    /// # Errors
    /// When SIGCHLD cannot be watched.
    pub fn start() -> std::io::Result<Rc<Self>> {
        let mut children = signal(SignalKind::child())?;
        let reaper = Rc::new(Self::default());
        let worker = Rc::clone(&reaper);
        engine_api::tasks::spawn(async move {
            loop {
                worker.reap_all();
                if children.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(reaper)
    }

    /// The exit status of the child `pid`, when it comes; also when it has just ended.
    pub fn watch(&self, pid: i32) -> oneshot::Receiver<ExitStatus> {
        let (sender, receiver) = oneshot::channel();
        let mut early = self.early.borrow_mut();
        if let Some(at) = early.iter().rposition(|(ended, _)| *ended == pid)
            && let Some((_, status)) = early.remove(at)
            && !is_child(pid)
        {
            // The receiver is in our hands.
            let _ = sender.send(status);
            return receiver;
        }
        drop(early);
        self.waiting.borrow_mut().insert(pid, sender);
        self.reap_all();
        receiver
    }

    /// As [`Self::watch`], for a child that an earlier program of this process has started. Nothing is reaped.
    pub(crate) fn adopt(&self, pid: i32) -> oneshot::Receiver<ExitStatus> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(pid, sender);
        receiver
    }

    /// Whether somebody waits for the child `pid`, and it has not been reaped.
    pub(crate) fn is_watched(&self, pid: i32) -> bool {
        self.waiting.borrow().contains_key(&pid)
    }

    /// Reaps whatever has ended.
    pub fn reap_all(&self) {
        while let Ok(Some(pid)) = sys::process::waitid_any_nowait() {
            let Ok(Some(status)) = sys::process::reap(pid) else {
                return;
            };
            match self.waiting.borrow_mut().remove(&pid) {
                // Nobody may be interested any more.
                Some(sender) => drop(sender.send(status)),
                None => {
                    let mut early = self.early.borrow_mut();
                    if early.len() == EARLY_MAX {
                        early.pop_front();
                    }
                    early.push_back((pid, status));
                }
            }
        }
    }
}

/// Whether a process with this number lives: then a status kept for the number belongs to an earlier process.
fn is_child(pid: i32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

/// The exit code that Docker reports: the program's own, or 128 and the signal that ended it.
#[must_use]
pub fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
