//! The present program's last steps: what it knows into a memfd, then execve(2).

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, Result};
use json_reader::lenient;
use network::helper::HandedOver;
use rustix::fs::{MemfdFlags, memfd_create};

use super::state::{Header, NetworkChildState, STATE_VERSION, State};
use super::{Kept, LAST_MOMENT, TAKE_OVER_VERB};
use crate::Engine;

/// One turn of the event loop, for signals that have been received already.
const LAST_TURN: Duration = Duration::from_millis(2);

/// The header's line and the rest.
pub(super) fn encode(header: &Header, state: &State) -> Result<Vec<u8>> {
    let header = Header {
        version: STATE_VERSION,
        ..header.clone()
    };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    serde_json::to_writer(&mut bytes, state)?;
    Ok(bytes)
}

/// Reads the header alone, whatever version the rest has.
pub(super) fn decode_header(bytes: &[u8]) -> std::result::Result<(Header, &[u8]), String> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.ok_or("the state has no header")?);
    let header = json_reader::from_slice(line).map_err(|error| format!("state header: {error}"))?;
    Ok((header, rest))
}

/// Reads a state of this version.
pub(super) fn decode(bytes: &[u8]) -> std::result::Result<(Header, State), String> {
    let (header, rest) = decode_header(bytes)?;
    if header.version != STATE_VERSION {
        return Err(format!(
            "the state has version {}, this program reads {STATE_VERSION}",
            header.version
        ));
    }
    // As records and requests are read, whose types it holds.
    let state = lenient::from_slice(rest).map_err(|error| format!("state: {error}"))?;
    Ok((header, state))
}

impl Engine {
    /// Everything that is not on disk.
    pub(super) fn state(&self, program: &Path, kept: &mut Kept) -> State {
        let inner = &self.0;
        let listener = inner.upgrades.listener.borrow();
        State {
            former_program: inner.program.clone(),
            program: program.to_owned(),
            owner: inner.upgrades.owner.borrow().clone().unwrap_or_default(),
            owned: inner
                .upgrades
                .descriptors
                .get()
                .map_or_else(Vec::new, |open| open())
                .into_iter()
                .map(|descriptor| kept.keep(Rc::new(descriptor) as Rc<_>))
                .collect(),
            listener: listener
                .as_ref()
                .map_or(-1, |listener| kept.keep(Rc::clone(listener) as Rc<_>)),
            // Given away only at the very end: a check of a candidate reads the state too.
            network_child: None,
            generation: inner.upgrades.generation.get(),
            panics: self.contained_panics(),
            start_counter: inner.start_counter.get(),
            events: inner.events.history(),
            containers: self.carry_containers(kept),
            execs: self.carry_execs(kept),
        }
    }

    /// The network child. Without its socket it ends by itself, and the next program starts another.
    fn carry_network_child(&self, kept: &mut Kept) -> Option<NetworkChildState> {
        match self.0.networks.hand_over_child() {
            Ok(child) => child.map(|child| NetworkChildState {
                pid: child.pid,
                socket: kept.keep(Rc::new(child.socket) as Rc<_>),
            }),
            Err(error) => {
                crate::report(&format!("hand over the network child: {error}"));
                None
            }
        }
    }

    /// Replaces the program. Returns only what went wrong; everything then is as it was.
    pub(super) async fn leave(&self, program: &Path) -> Error {
        self.0.quiet.answered().await;
        let begun = tokio::time::Instant::now();
        let error = loop {
            let left = LAST_MOMENT.saturating_sub(begun.elapsed());
            if let Err(error) = self.0.quiet.settle(left, || self.unsettled()).await {
                break error;
            }
            // A signal that comes between the two programs waits for the next one: without a handler PID 1 would not
            // get it. One that has come already is only known to the event loop, which gets a turn to act on it.
            if let Err(error) = sys::signal::block_all() {
                break failed(&error);
            }
            tokio::time::sleep(LAST_TURN).await;
            // No await from here on: what is settled stays so.
            if self.0.quiet.busy().is_none() && self.unsettled().is_none() {
                break match self.execute(program) {
                    Ok(never) => match never {},
                    Err(error) => error,
                };
            }
            unblock();
        };
        unblock();
        error
    }

    fn execute(&self, program: &Path) -> Result<Infallible> {
        if let Some(thread) = stuck_thread() {
            return Err(failed(&format!("thread {thread} hangs in the kernel")));
        }
        let mut kept = Kept::default();
        let mut state = self.state(program, &mut kept);
        state.network_child = self.carry_network_child(&mut kept);
        let Err(error) = hand_over(program, &state, &mut kept);
        // Still here: children must not inherit what the next program was to get.
        if let Err(error) = kept.set(false) {
            crate::report(&format!("after a failed upgrade: {error}"));
        }
        if let Some(child) = &state.network_child {
            self.adopt_network_child(kept.copy(child.socket), child.pid);
        }
        Err(error)
    }

    /// Makes a network child this engine's; one that cannot be is replaced by a new one on first need.
    pub(super) fn adopt_network_child(&self, socket: Result<OwnedFd>, pid: i32) {
        let adopted =
            socket.and_then(|socket| self.0.networks.adopt_child(HandedOver { socket, pid }));
        if let Err(error) = adopted {
            crate::report(&format!("take over the network child: {error}"));
        }
    }
}

/// Writes the state down and executes the program. Returns only when that failed.
fn hand_over(program: &Path, state: &State, kept: &mut Kept) -> Result<Infallible> {
    let former = File::open("/proc/self/exe").map_err(|error| failed(&error))?;
    let memory = File::from(memfd_create("state", MemfdFlags::CLOEXEC).map_err(|e| failed(&e))?);
    let number = memory.as_raw_fd();
    let mut header = Header {
        former: former.as_raw_fd(),
        ..Header::default()
    };
    let memory = Rc::new(memory);
    kept.keep(Rc::new(former) as Rc<_>);
    kept.keep(Rc::clone(&memory) as Rc<_>);
    header.descriptors = kept.numbers();
    (&*memory)
        .write_all(&encode(&header, state)?)
        .map_err(|error| failed(&error))?;
    let arguments: [OsString; 3] = [
        "init".into(),
        TAKE_OVER_VERB.into(),
        number.to_string().into(),
    ];
    kept.set(true).map_err(|error| failed(&error))?;
    let error = sys::process::exec(program, &arguments, &sys::process::environment());
    Err(failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::server(format!("hand over: {error}"))
}

fn unblock() {
    if let Err(error) = sys::signal::unblock_all() {
        crate::report(&format!("after a failed upgrade: {error}"));
    }
}

/// A thread of this process in an uninterruptible wait (a dead disk): execve(2) would wait for its end.
fn stuck_thread() -> Option<String> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    threads.flatten().find_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        // proc_pid_stat(5): the state is the first field after the name.
        let (_, rest) = stat.rsplit_once(") ")?;
        let number = thread.file_name().to_string_lossy().into_owned();
        rest.starts_with('D').then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_another_version_still_shows_the_way_back() {
        let header = Header {
            former: 7,
            descriptors: vec![7, 8],
            ..Header::default()
        };
        let bytes = encode(&header, &State::default()).unwrap();
        assert_eq!(decode(&bytes).unwrap().0.former, 7);
        let text = String::from_utf8(bytes).unwrap();
        let other = text.replacen(&format!("\"version\":{STATE_VERSION}"), "\"version\":99", 1);
        let error = decode(other.as_bytes()).unwrap_err();
        assert!(error.contains("version 99"), "{error}");
        let (header, _) = decode_header(other.as_bytes()).unwrap();
        assert_eq!((header.former, header.descriptors), (7, vec![7, 8]));
        let broken = format!("{}{{", text.lines().next().unwrap());
        assert!(decode(broken.as_bytes()).is_err());
    }
}
