//! Clients that close their sending side and wait for the answer (`printf 'GET /info ...' | nc -U`): Go's server answers
//! them. Hyper takes the end of what a client sends for the end of the client, so it hears of it only when the answer is
//! written or the client is gone altogether.
//!
//! Hyper's own `half_close` would answer them too, but does not read while it answers: it never hears that a client is
//! gone, and the `events` and `logs?follow=1` of clients that left would stay for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine_api::Body;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;
use tokio::time::Sleep;

/// How often a client that has closed its sending side is asked whether it is still there: the answer may be quiet for
/// long, and a client that is gone must not keep a descriptor.
pub(super) const GONE_INTERVAL: Duration = Duration::from_secs(2);

/// Whether a connection's request is being answered. Of one thread, but hyper wants a socket that could be sent to another.
#[derive(Debug, Default)]
pub(super) struct Answering(AtomicUsize);

impl Answering {
    /// Counts an answer until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Guard {
        self.0.fetch_add(1, Ordering::Relaxed);
        Guard(Arc::clone(self))
    }

    /// True from a request's head to the last piece of its answer.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// An answer that is under way.
#[derive(Debug)]
pub(super) struct Guard(Arc<Answering>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that counts as an answer for as long as it is being sent.
#[derive(Debug)]
pub(super) struct Counted {
    /// What is sent.
    pub(super) body: Body,
    /// Dropped with it.
    pub(super) _guard: Guard,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Wakes a connection from time to time.
#[derive(Debug, Default)]
pub(super) struct Reminder(Option<Pin<Box<Sleep>>>);

impl Reminder {
    /// Has the task woken after [`GONE_INTERVAL`], and then again.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(GONE_INTERVAL)));
        while sleep.as_mut().poll(context).is_ready() {
            let next = tokio::time::Instant::now() + GONE_INTERVAL;
            sleep.as_mut().reset(next);
        }
    }
}

/// True when the client has closed both directions.
pub(super) fn is_gone(stream: &UnixStream) -> bool {
    let mut descriptors = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut descriptors, Some(&now)).is_ok()
        && descriptors[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR)
}
