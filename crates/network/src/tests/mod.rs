//! Whole networks in separate namespaces: one plays the host (the engine's event loop runs in it), one each the
//! containers. They need root and nf_tables with NAT; `cargo test` says that they are ignored.

mod addresses;
mod dns;
mod lifecycle;
mod ports;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;

use engine_api::{EndpointSettings, Ipam, IpamConfig, NetworkCreate, PortBinding};
use sys::netlink::{Cidr, LinkChange, LinkKind, NewLink, Peer, Rtnetlink, in_netns, new_netns};
use tempfile::TempDir;

use super::helper::Launcher;
use super::{AttachRequest, NetworkOptions, Networks};

/// Far longer than any exchange takes: only a broken test waits so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The host's address on its link to the world.
const HOST: &str = "192.0.2.1";

/// A network namespace that plays a container, kept by a thread whose id serves as process id.
struct Container {
    id: String,
    name: String,
    pid: i32,
    netns: OwnedFd,
    _stop: mpsc::Sender<()>,
}

impl Container {
    fn new(name: &str) -> Self {
        let netns = new_netns().unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let (started, start) = mpsc::channel();
        let held = netns.try_clone().unwrap();
        std::thread::spawn(move || {
            in_netns(held.as_fd(), move || {
                started
                    .send(rustix::thread::gettid().as_raw_nonzero().get())
                    .unwrap();
                // Ends when the container is dropped.
                let _ = stopped.recv();
            })
        });
        let pid = start.recv().unwrap();
        Self {
            id: objects::ids::new_id().unwrap(),
            name: name.into(),
            pid,
            netns,
            _stop: stop,
        }
    }

    fn request(&self, network: &str) -> AttachRequest {
        AttachRequest {
            container_id: self.id.clone(),
            container_name: self.name.clone(),
            hostname: format!("{}-host", self.name),
            pid: self.pid,
            network_mode: network.into(),
            ..AttachRequest::default()
        }
    }

    /// Runs blocking `work` inside while the event loop goes on.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let netns = self.netns.try_clone().unwrap();
        outside(move || in_netns(netns.as_fd(), work).unwrap()).await
    }

    /// Serves one-byte greetings on a TCP port inside, for as long as the test lives.
    async fn greet(&self, port: u16) {
        let listener = self
            .run(move || TcpListener::bind(("0.0.0.0", port)).unwrap())
            .await;
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"!");
            }
        });
    }
}

/// Runs blocking `work` in the host's namespace while the event loop goes on.
async fn outside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// True when a greeting comes back; a drop shows as a timeout, so `patience` is short where silence is expected.
fn greeted(to: SocketAddr, patience: Duration) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&to, patience) else {
        return false;
    };
    stream.set_read_timeout(Some(patience)).unwrap();
    matches!(stream.read(&mut [0]), Ok(1))
}

/// How long a packet that must be dropped is waited for.
const SILENCE: Duration = Duration::from_millis(300);

struct World {
    networks: Networks,
    directory: TempDir,
    /// Another machine in the host's network, 192.0.2.2.
    neighbour: Container,
}

impl Drop for World {
    /// Makes closures capture the world as a whole: its directory must live as long as its networks.
    fn drop(&mut self) {}
}

impl World {
    fn options(directory: &TempDir) -> NetworkOptions {
        let mut options = NetworkOptions::new(
            directory.path().join("networks"),
            directory.path().join("run"),
        );
        options.resolv_conf = directory.path().join("resolv.conf");
        options.hosts = directory.path().join("hosts");
        options
    }

    /// The engine dies, with everything its process holds, and starts again.
    fn reopen(&mut self) {
        self.networks.0.state.borrow_mut().sandboxes.clear();
        let options = Self::options(&self.directory);
        self.networks = open(options);
        assert_eq!(self.networks.warnings(), Vec::<String>::new());
    }

    fn create(&self, name: &str, change: impl FnOnce(&mut NetworkCreate)) -> String {
        let mut request = NetworkCreate {
            name: name.into(),
            ..NetworkCreate::default()
        };
        change(&mut request);
        self.networks.create(&request).unwrap().id
    }
}

fn open(options: NetworkOptions) -> Networks {
    let damage = objects::Damage::new(&options.root);
    Networks::open(options, Launcher::Thread, Box::new(|_, _, _| {}), &damage).unwrap()
}

/// Runs a test in a fresh "host" with a neighbour on its `uplink`.
fn in_world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F + Send) {
    let host = new_netns().unwrap();
    in_netns(host.as_fd(), || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let neighbour = Container::new("neighbour");
            uplink(&neighbour);
            let directory = tempfile::tempdir().unwrap();
            let options = World::options(&directory);
            let networks = open(options);
            let warnings = networks.warnings();
            assert_eq!(warnings, Vec::<String>::new());
            test(World {
                networks,
                directory,
                neighbour,
            })
            .await;
        });
    })
    .unwrap();
}

fn uplink(neighbour: &Container) {
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    let mut netlink = Rtnetlink::open().unwrap();
    netlink.change_link(1, "lo", &up).unwrap();
    let peer = Peer {
        name: "uplink",
        mac: None,
        mtu: None,
        netns: Some(neighbour.netns.as_fd()),
    };
    netlink
        .create_link(&NewLink {
            up: true,
            ..NewLink::new("uplink", LinkKind::Veth(peer))
        })
        .unwrap();
    let index = netlink.link("uplink").unwrap().unwrap().index;
    netlink
        .add_address(index, "uplink", "192.0.2.1/24".parse().unwrap())
        .unwrap();
    in_netns(neighbour.netns.as_fd(), || {
        let mut netlink = Rtnetlink::open().unwrap();
        let index = netlink.link("uplink").unwrap().unwrap().index;
        netlink
            .add_address(index, "uplink", "192.0.2.2/24".parse().unwrap())
            .unwrap();
        netlink.change_link(index, "uplink", &up).unwrap();
        // Knows the way to the containers, as an attacker on the same wire would.
        for network in ["172.16.0.0/12", "10.0.0.0/8"] {
            let mut route = sys::netlink::Route::default_via(HOST.parse().unwrap(), index);
            route.destination = network.parse().unwrap();
            netlink.add_route(&route).unwrap();
        }
    })
    .unwrap();
}

fn subnet(subnet: &str) -> Option<Ipam> {
    let config = vec![IpamConfig {
        subnet: subnet.into(),
        ..IpamConfig::default()
    }];
    Some(Ipam {
        config,
        ..Ipam::default()
    })
}

fn address(settings: &EndpointSettings) -> IpAddr {
    settings.ip_address.parse().unwrap()
}

fn publish(request: &mut AttachRequest, port: &str, host_ip: &str, host_port: &str) {
    let binding = PortBinding {
        host_ip: host_ip.into(),
        host_port: host_port.into(),
    };
    request
        .port_bindings
        .insert(port.into(), Some(vec![binding]));
}

/// Names of all links of the calling namespace.
fn links() -> Vec<String> {
    let mut names: Vec<_> = Rtnetlink::open()
        .unwrap()
        .links()
        .unwrap()
        .into_iter()
        .map(|link| link.name)
        .collect();
    // Some kernels put unused tunnel links into every namespace.
    names.retain(|name| {
        ![
            "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip6gre0", "ip_vti0",
            "ip6_vti0",
        ]
        .contains(&name.as_str())
    });
    names.sort();
    names
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}
