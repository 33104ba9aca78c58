//! A router on a link of a guest, with IPv6 only: it advertises itself, gives an address, answers for a name, and tells the time. A guest's
//! card and it exchange frames by a pair of Unix sockets (QEMU's `dgram` backend: one frame a datagram).

mod dhcpv6;
mod packet;

use std::net::Ipv6Addr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use packet::{Body, Frame, Kind};

/// Its address, which is also that of its name server and of [`NAME`].
pub(crate) const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
/// Its address as the name server that its DHCPv6 names.
pub(crate) const NAMES: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 0x53);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x66, 0, 1];
/// The name that it has an address for.
pub(crate) const NAME: &str = "time.test";
/// How often it advertises itself when nobody asks.
const ADVERTISE: Duration = Duration::from_secs(3);

/// What it was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Addresses of [`NAME`].
    pub(crate) names: usize,
    /// The time.
    pub(crate) times: usize,
    /// Packets that were no IPv6: the guest tries IPv4.
    pub(crate) others: usize,
}

/// A router that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Router {
    folder: PathBuf,
    asked: Arc<Mutex<Asked>>,
    ends: Arc<AtomicBool>,
}

impl Router {
    /// Starts one, with its sockets in `folder`.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Router> {
        let socket = UnixDatagram::bind(folder.join("router"))
            .context("cannot make the socket of the router")?;
        socket
            .set_read_timeout(Some(ADVERTISE))
            .context("cannot set the pace of the router")?;
        let router = Router {
            folder: folder.to_owned(),
            asked: Arc::default(),
            ends: Arc::default(),
        };
        let (asked, ends) = (Arc::clone(&router.asked), Arc::clone(&router.ends));
        let guest = router.folder.join("guest");
        std::thread::spawn(move || {
            let mut bytes = [0; 2048];
            while !ends.load(Ordering::Relaxed) {
                let answers = match socket.recv(&mut bytes) {
                    Ok(length) => {
                        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                        answer(&bytes[..length], &mut asked).into_iter().collect()
                    }
                    Err(_) => vec![advertisement()],
                };
                for frame in answers {
                    // The guest may not be there yet, or any more.
                    let _ = socket.send_to(&frame, &guest);
                }
            }
        });
        Ok(router)
    }

    /// QEMU's arguments for a card on the link.
    pub(crate) fn card(&self) -> [String; 4] {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let (guest, router) = (path("guest"), path("router"));
        [
            "-netdev".to_owned(),
            format!(
                "dgram,id=six,local.type=unix,local.path={guest},remote.type=unix,remote.path={router}"
            ),
            "-device".to_owned(),
            "virtio-net-pci,netdev=six,mac=52:54:00:66:00:02".to_owned(),
        ]
    }

    /// What it was asked for so far.
    pub(crate) fn asked(&self) -> Asked {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// The answer to a frame, if it wants one.
fn answer(bytes: &[u8], asked: &mut Asked) -> Option<Vec<u8>> {
    let Some(frame) = Frame::read(bytes) else {
        asked.others += 1;
        return None;
    };
    match frame.kind {
        Kind::Solicitation => Some(advertisement()),
        Kind::Neighbour(target) if [ADDRESS, NAMES, LINK_LOCAL].contains(&target) => {
            Some(frame.answer(target, &packet::neighbour(target, MAC)))
        }
        Kind::Echo(body) => Some(frame.answer(frame.destination, &packet::echo(body))),
        Kind::Datagram { port: 53, body } => {
            asked.names += usize::from(packet::asks_for(body, NAME));
            Some(frame.answer(frame.destination, &packet::name(body, NAME, ADDRESS)?))
        }
        Kind::Datagram { port: 123, body } => {
            asked.times += 1;
            let time = Body::Datagram(time(body)?.to_vec());
            Some(frame.answer(frame.destination, &time))
        }
        // Asked by multicast, so not answered from where the question went
        Kind::Datagram {
            port: dhcpv6::PORT,
            body,
        } => {
            let lease = Body::Datagram(dhcpv6::answer(body, NAMES)?);
            Some(frame.answer(LINK_LOCAL, &lease))
        }
        Kind::Neighbour(_) | Kind::Datagram { .. } | Kind::Other => None,
    }
}

/// Who the router is, what addresses its link has, and who knows names.
fn advertisement() -> Vec<u8> {
    packet::advertisement(MAC, LINK_LOCAL, ADDRESS)
}

/// The answer of a stratum 1 server with this host's time (RFC 5905, section 7.3); none to what is not a request.
pub(crate) fn time(request: &[u8]) -> Option<[u8; 48]> {
    /// Seconds from 1900 to 1970.
    const UNIX_EPOCH: u64 = 2_208_988_800;
    let now = || {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        ((since.as_secs() + UNIX_EPOCH) << 32)
            | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
    };
    let received = now();
    let sent = request.get(40..48)?;
    let mut answer = [0_u8; 48];
    answer[0] = 0b0010_0100; // no leap second, version 4, server
    answer[1] = 1;
    answer[2] = request[2];
    answer[3] = 0xec; // 2^-20 s
    answer[12..16].copy_from_slice(b"TEST");
    answer[16..24].copy_from_slice(&received.to_be_bytes());
    answer[24..32].copy_from_slice(sent);
    answer[32..40].copy_from_slice(&received.to_be_bytes());
    answer[40..48].copy_from_slice(&now().to_be_bytes());
    Some(answer)
}
