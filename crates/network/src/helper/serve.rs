//! The child's side: takes sockets and tables from the control socket and serves them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;

use sys::fdpass::{self, Message};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::command::Command;
use super::confine::confine;
use super::proxy::Proxy;
use super::tables::{Place, Tables, View};
use super::{CONTROL_FD, watched};
use crate::dns;
use crate::ports::BoundSocket;

/// Entry point of `init network`.
pub fn main(_arguments: Vec<OsString>) -> ExitCode {
    let control = match sys::process::take_inherited_fd(CONTROL_FD) {
        Ok(control) => control,
        Err(error) => {
            eprintln!("network: is started by the engine: {error}");
            return ExitCode::FAILURE;
        }
    };
    match run(&control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&control, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Tells the engine, which logs it: this process may open no log itself. Nobody listens any more if that fails.
fn say(control: impl AsFd, text: &str) {
    let _ = fdpass::send(control, format!("!{text}").as_bytes(), &[]);
}

fn run(control: &OwnedFd) -> io::Result<()> {
    let last_words = control.try_clone()?;
    std::panic::set_hook(Box::new(move |panic| say(&last_words, &panic.to_string())));
    let control = control.try_clone()?;
    // Made before the filter: it takes system calls that nothing needs later.
    let runtime = event_loop()?;
    sys::process::set_name("init-network").map_err(io::Error::other)?;
    confine().map_err(io::Error::other)?;
    serve(&runtime, control)
}

pub(super) fn event_loop() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Serves until the engine closes its end.
pub(super) fn serve(runtime: &Runtime, control: OwnedFd) -> io::Result<()> {
    LocalSet::new().block_on(runtime, async {
        let control = watched(control)?;
        let mut world = World::default();
        loop {
            let mut ready = control.readable().await?;
            let Ok(message) = ready.try_io(fdpass::recv) else {
                continue;
            };
            let message = message?;
            if message.bytes.is_empty() {
                return Ok(());
            }
            if let Some(ticket) = world.obey(message)? {
                fdpass::send(control.as_fd(), &ticket.to_ne_bytes(), &[])?;
            }
        }
    })
}

/// All that is served.
#[derive(Default)]
struct World {
    tables: Rc<RefCell<Tables>>,
    served: BTreeMap<String, Served>,
}

/// What is served for one container.
#[derive(Default)]
struct Served {
    dns: Option<dns::Server>,
    proxies: Vec<Proxy>,
}

impl World {
    /// Does what the engine says; returns the ticket to answer with.
    fn obey(&mut self, message: Message) -> io::Result<Option<u64>> {
        let mut files = message.fds.into_iter();
        let command = json_reader::from_slice(&message.bytes)?;
        let mut tables = self.tables.borrow_mut();
        match command {
            Command::Configure { resolv_conf } => tables.resolv_conf = resolv_conf,
            Command::Begin { container, servers } => tables.begin(container, servers),
            Command::Names {
                network,
                network_name,
                addresses,
                names,
            } => tables.add(Place {
                network,
                network_name,
                addresses,
                names,
            }),
            Command::Commit => tables.commit(),
            Command::Serve { container } => {
                let (Some(udp), Some(tcp)) = (files.next(), files.next()) else {
                    return Err(io::Error::other("no sockets to serve"));
                };
                let view = View {
                    tables: self.tables.clone(),
                    container: container.clone(),
                };
                let server = dns::Server::start(udp.into(), tcp.into(), Rc::new(view))?;
                self.served.entry(container).or_default().dns = Some(server);
            }
            Command::Publish {
                container,
                udp,
                target,
            } => {
                let Some(socket) = files.next() else {
                    return Err(io::Error::other("no socket to publish"));
                };
                let socket = if udp {
                    BoundSocket::Udp(socket.into())
                } else {
                    BoundSocket::Tcp(socket.into())
                };
                let proxy = Proxy::start(socket, target)?;
                self.served
                    .entry(container)
                    .or_default()
                    .proxies
                    .push(proxy);
            }
            Command::Unpublish { container, ticket } => {
                if let Some(served) = self.served.get_mut(&container) {
                    served.proxies.clear();
                }
                return Ok(Some(ticket));
            }
            Command::Forget { container } => {
                tables.forget(&container);
                self.served.remove(&container);
            }
        }
        Ok(None)
    }
}
