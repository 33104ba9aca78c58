//! What the network child is told: the names of containers, and the sockets it serves for them. And its supervision:
//! it starts on first need, and again, with everything, when it has died.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use engine_api::Result;
use engine_api::tasks::spawn;
use objects::ids;

use super::dns;
use super::helper::link::Link;
use super::helper::{Command, HandedOver, NAME_MAX, NAMES_MAX, Servers};
use super::ports::{self, BoundSocket};
use super::record::{PublishedPort, SandboxRecord};
use super::{Inner, Networks, State};

impl Networks {
    /// Gives a container's DNS sockets, if any were opened, to the network child, and tells it the container's names.
    pub(super) fn serve_dns(&self, id: &str, sockets: Option<dns::Sockets>) {
        if let Some(sockets) = sockets {
            self.need_child();
            if let Some(sandbox) = self.0.state.borrow_mut().sandboxes.get_mut(id) {
                sandbox.dns = true;
            }
            let container = id.to_owned();
            self.0
                .helper
                .tell(&Command::Serve { container }, &sockets.files());
        }
        self.tell_names(id);
    }

    /// Gives the socket of a published port to the network child.
    pub(super) fn hold(&self, id: &str, port: &PublishedPort, socket: &BoundSocket) {
        self.need_child();
        let publish = Command::Publish {
            container: id.to_owned(),
            udp: port.udp,
            target: SocketAddr::new(port.target, port.container_port),
        };
        self.0.helper.tell(&publish, &[socket.as_fd()]);
    }

    /// Tells the child the names of a container that asks or answers.
    pub(super) fn tell_names(&self, id: &str) {
        if self.0.helper.running().is_none() {
            return;
        }
        let commands = {
            let state = self.0.state.borrow();
            match state.sandboxes.get(id).filter(|sandbox| sandbox.dns) {
                Some(sandbox) => table(&state, &sandbox.record),
                None => return,
            }
        };
        for command in &commands {
            self.0.helper.tell(command, &[]);
        }
    }

    /// Tells the child that a container is gone; its published ports are free then.
    pub(super) fn forget_names(&self, record: &SandboxRecord) {
        if !record.ports.is_empty() {
            self.0.helper.unpublish(&record.container_id);
        }
        let container = record.container_id.clone();
        self.0.helper.tell(&Command::Forget { container }, &[]);
    }

    /// Gives the network child to the program that takes this engine's place; `None` when there is none. From now on
    /// this engine tells it nothing.
    ///
    /// # Errors
    /// Too many open files.
    pub fn hand_over_child(&self) -> std::io::Result<Option<HandedOver>> {
        self.0.helper.hand_over()
    }

    /// Takes over the network child of the engine before, with the sockets it serves. Call before
    /// [`Self::reconcile`], inside the `LocalSet`.
    ///
    /// # Errors
    /// When it has ended; a new one is then started on first need.
    pub fn adopt_child(&self, child: HandedOver) -> Result<()> {
        let link = self.0.helper.adopt(child)?;
        self.watch(link);
        Ok(())
    }

    /// Ends the network child; the engine is about to end too.
    pub fn end_child(&self) {
        self.0.helper.close();
    }

    fn need_child(&self) {
        if !self.0.helper.is_idle() {
            return;
        }
        match self.0.helper.start() {
            Ok(link) => self.watch(link),
            Err(error) => {
                sys::kmsg::warn("engine", &format!("start the network child: {error}"));
                let pause = self.0.helper.pause();
                spawn(start_later(Rc::downgrade(&self.0), pause));
            }
        }
    }

    fn watch(&self, link: Rc<Link>) {
        spawn(supervise(Rc::downgrade(&self.0), link));
    }

    /// A new child gets the sockets and names of all containers.
    fn serve_all_again(&self) {
        let running: Vec<(String, i32)> = {
            let state = self.0.state.borrow();
            let served = state
                .sandboxes
                .values()
                .filter(|sandbox| sandbox.dns || !sandbox.record.ports.is_empty());
            served
                .map(|sandbox| (sandbox.record.container_id.clone(), sandbox.record.pid))
                .collect()
        };
        for (id, pid) in running {
            if let Err(error) = self.serve_again(&id, pid, true) {
                sys::kmsg::warn(
                    "engine",
                    &format!("network of container {}: {error}", ids::short(&id)),
                );
            }
        }
    }

    /// Binds the ports of a container that runs since before the engine, or the child, did.
    pub(super) fn hold_ports(&self, id: &str, published: &[PublishedPort]) {
        for port in published {
            let address = SocketAddr::new(port.host_address, port.host_port);
            match ports::open(port.udp, address) {
                Ok(socket) => self.hold(id, port, &socket),
                // Another program has taken it meanwhile: that costs this port alone.
                Err(error) => {
                    sys::kmsg::warn(
                        "engine",
                        &format!("port {address} of container {id}: {error}"),
                    );
                }
            }
        }
    }
}

/// Follows a child to its end.
async fn supervise(networks: Weak<Inner>, link: Rc<Link>) {
    link.ended().await;
    link.end();
    let Some(pause) = networks
        .upgrade()
        .and_then(|inner| inner.helper.died(&link))
    else {
        return;
    };
    drop(link);
    sys::kmsg::warn(
        "engine",
        &format!("the network child has died: a new one starts in {pause:?}"),
    );
    start_later(networks, pause).await;
}

async fn start_later(networks: Weak<Inner>, mut pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(networks) = networks.upgrade().map(Networks) else {
            return;
        };
        if networks.0.helper.is_gone() {
            return;
        }
        match networks.0.helper.start() {
            Ok(link) => {
                networks.watch(link);
                networks.serve_all_again();
                return;
            }
            Err(error) => {
                sys::kmsg::warn("engine", &format!("start the network child: {error}"));
                pause = networks.0.helper.pause();
            }
        }
    }
}

/// A container's names, as messages.
fn table(state: &State, record: &SandboxRecord) -> Vec<Command> {
    let mut commands = vec![Command::Begin {
        container: record.container_id.clone(),
        servers: servers(state, record),
    }];
    let named = record.endpoints.iter().filter(|endpoint| {
        state
            .networks
            .get(&endpoint.network_id)
            .is_some_and(|network| network.has_dns())
    });
    for endpoint in named {
        let names: Vec<&String> = endpoint
            .dns_names
            .iter()
            .filter(|name| name.len() <= NAME_MAX)
            .collect();
        let messages = names.chunks(NAMES_MAX).map(|names| Command::Names {
            network: endpoint.network_id.clone(),
            network_name: endpoint.network_name.clone(),
            addresses: endpoint.addresses().collect(),
            names: names.iter().map(|name| (*name).clone()).collect(),
        });
        commands.extend(messages);
    }
    commands.push(Command::Commit);
    commands
}

/// Who answers for names outside.
fn servers(state: &State, record: &SandboxRecord) -> Servers {
    let outside = record.endpoints.iter().any(|endpoint| {
        state
            .networks
            .get(&endpoint.network_id)
            .is_some_and(|network| !network.internal)
    });
    if !outside {
        // On internal networks only, questions must not leak out (CVE-2024-29018).
        Servers::These(Vec::new())
    } else if record.dns.is_empty() {
        Servers::Host
    } else {
        let addresses = record.dns.iter().filter_map(|text| text.parse().ok());
        Servers::These(dns::upstreams(addresses))
    }
}
