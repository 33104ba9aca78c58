//! What survives: definitions of networks, and endpoints of running containers; opening and reconciling them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::{Error, Result};
use objects::{Damage, atomic_file, ids};
use serde::Serialize;
use sys::netlink::{Rtnetlink, netns_of};

use super::helper::Launcher;
use super::helper::client::Helper;
use super::record::{NetworkRecord, SandboxRecord, is_predefined};
use super::sandbox::{Sandbox, Setup, configure};
use super::{Driver, EventSink, Inner, NetworkOptions, Networks, State, device, predefined};

impl Networks {
    /// Reads what is stored, makes the predefined networks and all devices, and rebuilds the firewall. What fails
    /// for one network does not stop the others; see [`Self::warnings`]. What is damaged is set aside. `launcher`: how the
    /// network child is started, when it is needed.
    ///
    /// # Errors
    /// When random numbers are not to be had.
    pub fn open(
        options: NetworkOptions,
        launcher: Launcher,
        events: EventSink,
        damage: &Damage,
    ) -> Result<Self> {
        damage.directory(&options.root, 0o700);
        damage.directory(&options.run, 0o700);
        let mut state = State::default();
        for record in read_networks(&options.root, damage) {
            state.networks.insert(record.id.clone(), record);
        }
        predefined::complete(&mut state.networks, &options, |record| {
            // It works without being written down; its id is another one at the next start then.
            if let Err(error) = write(&options.root, &record.id, record) {
                damage.say(format!("network {}: {}", record.name, error.message));
            }
        })?;
        for record in read_sandboxes(&options.run, damage) {
            let sandbox = Sandbox {
                record,
                ..Sandbox::default()
            };
            state
                .sandboxes
                .insert(sandbox.record.container_id.clone(), sandbox);
        }
        let mut warnings = Vec::new();
        for network in state.networks.values() {
            if let Err(error) = device::ensure(network) {
                warnings.push(format!("network {}: {error}", network.name));
            }
        }
        if let Err(error) = state.firewall.apply(&state.networks, &state.sandboxes) {
            warnings.push(format!("published ports and masquerading are off: {error}"));
        }
        state.warnings.extend(warnings);
        Ok(Self(Rc::new(Inner {
            helper: Helper::new(launcher, options.resolv_conf.clone()),
            options,
            events,
            state: RefCell::new(state),
        })))
    }

    /// What went wrong without an answer to a caller, taken out.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.0.state.borrow_mut().warnings)
    }

    /// After a restart of the engine: `pid_of` says which containers still run. Ports and DNS of those are served
    /// again; endpoints of all others, and veth ends on our bridges that belong to nobody, are removed. Call inside
    /// the `LocalSet`. Returns what went wrong.
    pub fn reconcile(&self, pid_of: impl Fn(&str) -> Option<i32>) -> Vec<String> {
        let ids: Vec<String> = self.0.state.borrow().sandboxes.keys().cloned().collect();
        let mut errors = Vec::new();
        // An adopted child has the sockets already.
        let sockets = self.0.helper.running().is_none();
        for id in ids {
            let result = match pid_of(&id) {
                Some(pid) => self
                    .serve_again(&id, pid, sockets)
                    .map_err(|error| error.to_string()),
                None => {
                    errors.extend(self.detach(&id));
                    Ok(())
                }
            };
            errors.extend(
                result
                    .err()
                    .map(|error| format!("network of container {}: {error}", ids::short(&id))),
            );
        }
        if let Err(error) = self.remove_strays() {
            errors.push(format!("stale links: {error}"));
        }
        errors
    }

    /// Serves a running container's ports and DNS; `sockets`: they have to be opened first.
    pub(super) fn serve_again(&self, id: &str, pid: i32, sockets: bool) -> Result<()> {
        let (ports, dns) = {
            let mut state = self.0.state.borrow_mut();
            let Some(sandbox) = state.sandboxes.get_mut(id) else {
                return Ok(());
            };
            sandbox.record.pid = pid;
            let dns = sandbox
                .record
                .endpoints
                .iter()
                .any(|e| !is_predefined(&e.network_name));
            sandbox.dns = dns;
            (sandbox.record.ports.clone(), dns)
        };
        if !sockets {
            self.tell_names(id);
            return Ok(());
        }
        self.hold_ports(id, &ports);
        if dns {
            let netns = netns_of(pid).map_err(super::server)?;
            let sockets = configure(
                std::os::fd::AsFd::as_fd(&netns),
                &Setup {
                    dns,
                    ..Setup::default()
                },
            )?;
            self.serve_dns(id, sockets);
        }
        Ok(())
    }

    fn remove_strays(&self) -> sys::netlink::Result<()> {
        let state = self.0.state.borrow();
        let bridges = state
            .networks
            .values()
            .filter(|n| n.driver() == Driver::Bridge);
        let devices: BTreeSet<String> = bridges.map(NetworkRecord::device).collect();
        let endpoints = state
            .sandboxes
            .values()
            .flat_map(|sandbox| &sandbox.record.endpoints);
        let known: BTreeSet<&str> = endpoints
            .filter_map(|endpoint| endpoint.host_link.as_deref())
            .collect();
        let mut netlink = Rtnetlink::open()?;
        let links = netlink.links()?;
        let ours: BTreeSet<u32> = links
            .iter()
            .filter(|l| devices.contains(&l.name))
            .map(|l| l.index)
            .collect();
        for link in &links {
            let on_ours = link.master.is_some_and(|master| ours.contains(&master));
            if on_ours && link.kind == "veth" && !known.contains(link.name.as_str()) {
                netlink.delete_link(&link.name)?;
            }
        }
        Ok(())
    }

    pub(super) fn save_network(&self, record: &NetworkRecord) -> Result<()> {
        write(&self.0.options.root, &record.id, record)
    }

    pub(super) fn forget_network(&self, id: &str) -> Result<()> {
        remove(&self.0.options.root, id)
    }

    pub(super) fn save_sandbox(&self, record: &SandboxRecord) -> Result<()> {
        let path = path_of(&self.0.options.run, &record.container_id);
        atomic_file::write(&path, &serde_json::to_vec(record)?, 0o600).map_err(|e| {
            Error::server(format!(
                "write {}: {}",
                path.display(),
                engine_api::cause(&e)
            ))
        })
    }

    pub(super) fn forget_sandbox(&self, id: &str) -> Result<()> {
        remove(&self.0.options.run, id)
    }
}

fn write(directory: &Path, id: &str, record: &impl Serialize) -> Result<()> {
    let path = path_of(directory, id);
    atomic_file::write_twice(&path, &serde_json::to_vec(record)?, 0o600).map_err(|e| {
        Error::server(format!(
            "write {}: {}",
            path.display(),
            engine_api::cause(&e)
        ))
    })
}

fn remove(directory: &Path, id: &str) -> Result<()> {
    let path = path_of(directory, id);
    atomic_file::remove(&path).map_err(|e| {
        Error::server(format!(
            "remove {}: {}",
            path.display(),
            engine_api::cause(&e)
        ))
    })
}

fn path_of(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.json"))
}

/// All networks that were written down. Two of one name cannot be: the later one in the order of files is set aside.
fn read_networks(directory: &Path, damage: &Damage) -> Vec<NetworkRecord> {
    let mut networks: Vec<NetworkRecord> = Vec::new();
    for path in damage.records(directory) {
        let fits = |record: &NetworkRecord| {
            if path != path_of(directory, &record.id) || record.name.is_empty() {
                return Err("it describes another network".to_owned());
            }
            match networks.iter().find(|other| other.name == record.name) {
                Some(other) => Err(format!("network {} has its name", ids::short(&other.id))),
                None => Driver::parse(&record.driver)
                    .map(drop)
                    .map_err(|error| error.message),
            }
        };
        let record = damage.load(&path, fits);
        networks.extend(record);
    }
    networks
}

fn read_sandboxes(directory: &Path, damage: &Damage) -> Vec<SandboxRecord> {
    let read = |path: &PathBuf| {
        damage.load(path, |record: &SandboxRecord| {
            if *path == path_of(directory, &record.container_id) {
                Ok(())
            } else {
                Err("it describes another container".to_owned())
            }
        })
    };
    let records = damage.records(directory);
    records.iter().filter_map(read).collect()
}
