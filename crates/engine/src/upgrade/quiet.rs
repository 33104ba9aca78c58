//! The moment in which the program can be replaced: nothing is half done.
//!
//! Whatever must not be cut in two (a start, a stop, the consequences of an exit, a change asked for by a client) holds
//! a [`Work`] while it lasts. An upgrade closes the gate: no client is accepted, those that are there end with their
//! present request, timers wait; and it goes on when no work is left. What only reads (logs, events, attach, stats) holds
//! nothing and is cut.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, Result};
use tokio::sync::watch;

/// Longest wait for answers on their way to clients, once there is no work.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// Pause between two looks at what is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How far the engine is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The normal run.
    #[default]
    Open,
    /// No client is accepted and no timer begins anything: the program is replaced in a moment.
    Leaving,
}

/// What is under way, and whether more may begin.
#[derive(Debug, Default)]
pub struct Quiet {
    phase: watch::Sender<Phase>,
    work: RefCell<BTreeMap<u64, String>>,
    next: Cell<u64>,
    /// Requests without an answer yet.
    owed: Cell<usize>,
}

/// Something under way, until it is dropped.
#[derive(Debug)]
pub struct Work(Rc<Quiet>, u64);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.work.borrow_mut().remove(&self.1);
    }
}

/// An answer that a client waits for, until it is dropped.
#[derive(Debug)]
pub struct Owed(Rc<Quiet>);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.owed.set(self.0.owed.get().saturating_sub(1));
    }
}

/// The closed gate; dropping it opens it again.
#[derive(Debug)]
pub struct Closed(Rc<Quiet>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::Open);
    }
}

impl Quiet {
    /// Begins work. It does not wait for the gate: what begins is asked for already, or follows from what has happened.
    pub fn work(self: &Rc<Self>, what: impl Into<String>) -> Work {
        let number = self.next.get();
        self.next.set(number + 1);
        self.work.borrow_mut().insert(number, what.into());
        Work(Rc::clone(self), number)
    }

    /// Waits until the gate is open, for what begins by itself. No await may come between this and [`Self::work`].
    pub async fn open(&self) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phase.wait_for(|phase| *phase == Phase::Open).await;
    }

    /// A client has sent a request.
    pub fn owe(self: &Rc<Self>) -> Owed {
        self.owed.set(self.owed.get() + 1);
        Owed(Rc::clone(self))
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Changes of the phase.
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Closes the gate.
    ///
    /// # Errors
    /// 409 when it is closed already.
    pub(super) fn close(self: &Rc<Self>) -> Result<Closed> {
        if self.phase() != Phase::Open {
            return Err(Error::conflict("the engine is being replaced already"));
        }
        self.phase.send_replace(Phase::Leaving);
        Ok(Closed(Rc::clone(self)))
    }

    /// Waits a moment for the answers that are on their way.
    pub(super) async fn answered(&self) {
        let all = async {
            while self.owed.get() > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        // A slow answer to a mere question must not keep us.
        let _ = tokio::time::timeout(LAST_ANSWERS, all).await;
    }

    /// Waits until nothing is under way and `also` finds nothing either.
    ///
    /// # Errors
    /// 409 that names what is under way after `limit`.
    pub(super) async fn settle(
        &self,
        limit: Duration,
        also: impl Fn() -> Option<String>,
    ) -> Result<()> {
        let begun = tokio::time::Instant::now();
        loop {
            let Some(busy) = self.busy().or_else(&also) else {
                return Ok(());
            };
            if begun.elapsed() >= limit {
                return Err(Error::conflict(format!(
                    "the engine cannot be replaced now: {busy} has not ended after {} s",
                    limit.as_secs()
                )));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Something that is under way.
    pub(super) fn busy(&self) -> Option<String> {
        self.work.borrow().values().next().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn what_is_under_way_is_named_and_timers_wait() {
        block_on(async {
            let quiet = Rc::new(Quiet::default());
            let work = quiet.work("POST /containers/a/stop");
            let closed = quiet.close().unwrap();
            let error = quiet.settle(Duration::ZERO, || None).await.unwrap_err();
            assert_eq!(error.status, 409);
            assert!(error.message.contains("containers/a/stop"), "{error}");
            assert_eq!(quiet.close().unwrap_err().status, 409);
            drop(work);
            quiet.settle(Duration::ZERO, || None).await.unwrap();
            let timer = quiet.open();
            tokio::pin!(timer);
            tokio::select! {
                biased;
                () = &mut timer => panic!("the gate is closed"),
                () = std::future::ready(()) => {}
            }
            drop(closed);
            timer.await;
        });
    }

    #[test]
    fn answers_are_waited_for_only_a_moment() {
        block_on(async {
            let quiet = Rc::new(Quiet::default());
            let owed = quiet.owe();
            quiet.answered().await;
            assert_eq!(quiet.owed.get(), 1);
            drop(owed);
            quiet.answered().await;
            assert_eq!(quiet.owed.get(), 0);
        });
    }
}
