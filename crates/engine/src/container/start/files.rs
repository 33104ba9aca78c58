//! Files that are bound into a container: names and addresses, shared memory, the init program.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use engine_api::{EndpointSettings, Error, Result};
use network::files::{FilesRequest, ResolvConf};

use crate::Engine;
use crate::container::Container;
use crate::container::networks::resolver;
use crate::spec;

impl Engine {
    /// Writes the files that are bound into the container, and makes the shared memory that others may join.
    pub(super) fn write_files(&self, container: &Container) -> Result<spec::Files> {
        let directory = &container.layout.directory;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&container.layout.bundle)
            .map_err(Error::at("mkdir", &container.layout.bundle))?;
        let shares = container.record().network_container().map(str::to_owned);
        let (source, own) = match shares {
            Some(other) => (self.find(&other)?.layout.directory.clone(), false),
            None => (directory.clone(), true),
        };
        let follows_host =
            own && self.write_network_files(container, &std::collections::BTreeMap::new())?;
        let host_file = crate::system::RESOLV_CONF;
        let resolv_conf = if follows_host {
            PathBuf::from(host_file)
        } else {
            source.join("resolv.conf")
        };
        let record = container.record();
        let shm = match record.host_config.ipc_mode.as_str() {
            "shareable" => Some(self.shared_memory(&container.id, record.host_config.shm_size)?),
            mode => match mode.strip_prefix("container:") {
                Some(other) => Some(self.shared_memory_of(other)?),
                None => None,
            },
        };
        let exists = |path: PathBuf| path.exists().then_some(path);
        let init = record
            .host_config
            .init
            .unwrap_or(false)
            .then(|| fs::canonicalize(&self.0.program))
            .transpose()
            .map_err(Error::at("resolve", &self.0.program))?;
        Ok(spec::Files {
            resolv_conf: exists(resolv_conf),
            hostname: exists(source.join("hostname")),
            hosts: exists(source.join("hosts")),
            shm,
            init,
        })
    }

    /// Writes resolv.conf, hosts and hostname; true when the host's own resolv.conf is to be used.
    pub(super) fn write_network_files(
        &self,
        container: &Container,
        networks: &std::collections::BTreeMap<String, EndpointSettings>,
    ) -> Result<bool> {
        let addresses: Vec<IpAddr> = networks
            .values()
            .flat_map(|endpoint| {
                [
                    endpoint.ip_address.parse().ok(),
                    endpoint.global_ipv6_address.parse().ok(),
                ]
            })
            .flatten()
            .collect();
        let record = container.record();
        if record.network_container().is_some() {
            return Ok(false);
        }
        let host = &record.host_config;
        let names: Vec<String> = networks.keys().cloned().collect();
        let files = self.0.networks.files(&FilesRequest {
            network_mode: &host.network_mode,
            networks: &names,
            hostname: &record.config.hostname,
            domainname: &record.config.domainname,
            addresses: &addresses,
            extra_hosts: host.extra_hosts.as_deref().unwrap_or_default(),
            dns: &host.dns,
            dns_search: &host.dns_search,
            dns_options: &host.dns_options,
            host_gateway: None,
        })?;
        let directory = &container.layout.directory;
        write_in_place(&directory.join("hosts"), &files.hosts)?;
        write_in_place(&directory.join("hostname"), &files.hostname)?;
        match files.resolv_conf {
            ResolvConf::Own(text) => {
                resolver::write(directory, &text)?;
                Ok(false)
            }
            ResolvConf::FollowHost => Ok(true),
        }
    }

    /// A tmpfs that several containers use as /dev/shm.
    fn shared_memory(&self, id: &str, size: i64) -> Result<PathBuf> {
        let path = self.0.run.join("shm").join(id);
        fs::create_dir_all(&path).map_err(Error::at("mkdir", &path))?;
        if is_mounted(&path)? {
            return Ok(path);
        }
        let flags = sys::mount::MountFlags::NOSUID
            | sys::mount::MountFlags::NOEXEC
            | sys::mount::MountFlags::NODEV;
        sys::mount::mount(
            "shm",
            &path,
            "tmpfs",
            flags,
            &format!("mode=1777,size={size}"),
        )
        .map_err(|error| Error::server(error.to_string()))?;
        Ok(path)
    }

    fn shared_memory_of(&self, id: &str) -> Result<PathBuf> {
        let path = self.0.run.join("shm").join(id);
        if is_mounted(&path)? {
            return Ok(path);
        }
        Err(Error::conflict(format!(
            "failed to join IPC namespace: container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )))
    }
}

/// Whether a file system is mounted on a directory that the engine made.
fn is_mounted(path: &Path) -> Result<bool> {
    sys::mount::is_mount_point(path).map_err(|error| Error::server(error.to_string()))
}

/// Keeps the inode: the file may be bound into a running container, which may hold a lease on it.
fn write_in_place(path: &Path, text: &str) -> Result<()> {
    sys::regular::write(path, text.as_bytes(), 0o644)
        .map_err(|error| Error::server(error.to_string()))
}
