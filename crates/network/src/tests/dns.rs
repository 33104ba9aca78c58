//! The embedded DNS server, asked from inside containers.

use std::net::UdpSocket;

use super::*;
use crate::dns::message::{TYPE_A, TYPE_AAAA, TYPE_PTR};

fn request(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// The answer's code and the data of its last record.
fn ask(name: &str, kind: u16) -> (u8, Vec<u8>) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE / 5)).unwrap();
    socket.connect("127.0.0.11:53").unwrap();
    let request = request(name, kind);
    let mut buffer = vec![0; 2048];
    // A datagram may be lost in a full queue: a resolver asks again (RFC 1035, section 4.2.1).
    let len = (0..5)
        .find_map(|_| {
            socket.send(&request).unwrap();
            socket.recv(&mut buffer).ok()
        })
        .unwrap();
    assert_eq!(buffer[..2], request[..2]);
    let data = if buffer[7] == 0 {
        Vec::new()
    } else {
        buffer[request.len() + 12..len].to_vec()
    };
    (buffer[3] & 15, data)
}

fn two_on_front(world: &World) -> (Container, Container, Vec<u8>) {
    world.create("front", |request| request.ipam = subnet("10.40.0.0/24"));
    let (web, db) = (Container::new("web"), Container::new("db"));
    world.networks.attach(&web.request("front")).unwrap();
    let mut wish = db.request("front");
    let aliases = Some(vec!["database".to_owned()]);
    wish.networks.insert(
        "front".into(),
        EndpointSettings {
            aliases,
            ..EndpointSettings::default()
        },
    );
    let IpAddr::V4(v4) = address(&world.networks.attach(&wish).unwrap().networks["front"]) else {
        panic!("no IPv4 address");
    };
    (web, db, v4.octets().to_vec())
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn names_aliases_ids_and_host_names_resolve() {
    in_world(|world| async move {
        let (web, db, expected) = two_on_front(&world);
        let short = db.id[..12].to_owned();
        for name in [
            "db",
            "DB",
            "database",
            "db-host",
            "db.front",
            short.as_str(),
        ] {
            let owned = name.to_owned();
            assert_eq!(
                web.run(move || ask(&owned, TYPE_A)).await,
                (0, expected.clone()),
                "{name}"
            );
        }
        assert_eq!(web.run(|| ask("db", TYPE_AAAA)).await, (0, vec![]));
        let (code, name) = web.run(|| ask("3.0.40.10.in-addr.arpa", TYPE_PTR)).await;
        assert_eq!((code, name.as_slice()), (0, &b"\x02db\x05front\0"[..]));
        world.networks.rename(&db.id, "store").unwrap();
        assert_eq!(web.run(|| ask("store", TYPE_A)).await, (0, expected));
        world.networks.detach(&db.id);
        assert_ne!(web.run(|| ask("database", TYPE_A)).await.0, 0);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn other_names_are_asked_upstream_over_udp_and_tcp() {
    in_world(|world| async move {
        let (web, _db, _) = two_on_front(&world);
        std::fs::write(
            world.directory.path().join("resolv.conf"),
            "nameserver 127.0.0.1\n",
        )
        .unwrap();
        let udp = UdpSocket::bind("127.0.0.1:53").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:53").unwrap();
        let answer = |request: &[u8]| {
            let mut reply = request.to_vec();
            reply[2] |= 0x80;
            reply[7] = 1;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 9, 9, 9, 9]);
            reply
        };
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (len, from) = udp.recv_from(&mut buffer).unwrap();
            udp.send_to(&answer(&buffer[..len]), from).unwrap();
            let (mut stream, _) = tcp.accept().unwrap();
            stream.read_exact(&mut buffer[..2]).unwrap();
            let len = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
            stream.read_exact(&mut buffer[..len]).unwrap();
            let reply = answer(&buffer[..len]);
            stream
                .write_all(&(reply.len() as u16).to_be_bytes())
                .unwrap();
            stream.write_all(&reply).unwrap();
        });
        assert_eq!(
            web.run(|| ask("example.org", TYPE_A)).await,
            (0, vec![9, 9, 9, 9])
        );
        let over_tcp = web.run(|| {
            let mut stream =
                TcpStream::connect_timeout(&"127.0.0.11:53".parse().unwrap(), PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let request = request("example.org", TYPE_A);
            stream
                .write_all(&(request.len() as u16).to_be_bytes())
                .unwrap();
            stream.write_all(&request).unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut reply).unwrap();
            reply
        });
        assert!(over_tcp.await.ends_with(&[9, 9, 9, 9]));
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_container_may_serve_port_53_itself() {
    in_world(|world| async move {
        let (web, _db, _) = two_on_front(&world);
        let bound = web
            .run(|| UdpSocket::bind("0.0.0.0:53").and(TcpListener::bind("0.0.0.0:53").map(drop)))
            .await;
        assert!(bound.is_ok(), "{bound:?}");
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn garbage_is_survived() {
    in_world(|world| async move {
        let (web, _db, expected) = two_on_front(&world);
        web.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let mut state = 7u64;
            for len in (0..600).chain([1500, 4096, 9000]) {
                let junk: Vec<u8> = (0..len)
                    .map(|_| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        (state >> 56) as u8
                    })
                    .collect();
                socket.send_to(&junk, "127.0.0.11:53").unwrap();
            }
            let mut stream =
                TcpStream::connect_timeout(&"127.0.0.11:53".parse().unwrap(), PATIENCE).unwrap();
            stream.write_all(&[0xff, 0xff, 1, 2, 3]).unwrap();
        })
        .await;
        assert_eq!(web.run(|| ask("db", TYPE_A)).await, (0, expected));
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_child_that_died_is_replaced_and_knows_everything_again() {
    in_world(|world| async move {
        let (web, db, expected) = two_on_front(&world);
        let mut request = db.request("front");
        publish(&mut request, "80/tcp", "", "8080");
        let first = world.networks.0.helper.running().unwrap();
        world.networks.attach(&request).unwrap();
        db.greet(80).await;
        first.end();
        let replaced = async {
            let is_new = |link| !std::rc::Rc::ptr_eq(&first, &link);
            while !world.networks.0.helper.running().is_some_and(is_new) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, replaced).await.unwrap();
        assert_eq!(web.run(|| ask("db", TYPE_A)).await, (0, expected));
        let proxied = "[::1]:8080".parse().unwrap();
        assert!(outside(move || greeted(proxied, PATIENCE)).await);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_child_is_handed_over_with_its_sockets() {
    in_world(|mut world| async move {
        let (web, db, expected) = two_on_front(&world);
        let mut request = web.request("front");
        publish(&mut request, "80/tcp", "", "8080");
        world.networks.attach(&request).unwrap();
        web.greet(80).await;
        let child = world.networks.hand_over_child().unwrap().unwrap();
        world.networks = open(World::options(&world.directory));
        world.networks.adopt_child(child).unwrap();
        let pids = [(web.id.clone(), web.pid), (db.id.clone(), db.pid)];
        let errors = world.networks.reconcile(|id| {
            pids.iter()
                .find(|(known, _)| known == id)
                .map(|(_, pid)| *pid)
        });
        assert_eq!(errors, Vec::<String>::new());
        world.networks.rename(&db.id, "store").unwrap();
        assert_eq!(web.run(|| ask("store", TYPE_A)).await, (0, expected));
        let proxied = "[::1]:8080".parse().unwrap();
        assert!(outside(move || greeted(proxied, PATIENCE)).await);
        assert_eq!(world.networks.detach(&web.id), Vec::<String>::new());
        TcpListener::bind("[::]:8080").unwrap();
    });
}
