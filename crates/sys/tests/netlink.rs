//! rtnetlink and nf_tables against the running kernel, in separate network namespaces. Needs root; without it
//! every test is ignored.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use sys::netlink::nftables::{
    Batch, Chain, ChainType, ConntrackState, Family, Hook, PRIORITY_DSTNAT, PRIORITY_FILTER,
    PRIORITY_RAW, PRIORITY_SRCNAT, Rule, Transport, tables,
};
use sys::netlink::{
    BridgeOptions, Cidr, LinkChange, LinkKind, NewLink, Peer, Route, Rtnetlink, in_netns, new_netns,
};

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn up() -> LinkChange<'static> {
    LinkChange {
        up: Some(true),
        ..LinkChange::default()
    }
}

/// Bridge 10.9.0.1/24 in the calling namespace, and eth0 10.9.0.2/24 with a default route in `inside`.
fn bridge_with_container(inside: impl AsFd + Sync) {
    let mut netlink = Rtnetlink::open().unwrap();
    netlink.change_link(1, "lo", &up()).unwrap();
    let bridge = NewLink {
        up: true,
        ..NewLink::new("br-test", LinkKind::Bridge(BridgeOptions::default()))
    };
    netlink.create_link(&bridge).unwrap();
    let bridge = netlink.link("br-test").unwrap().unwrap();
    assert_eq!((bridge.kind.as_str(), bridge.up), ("bridge", true));
    netlink
        .add_address(bridge.index, "br-test", cidr("10.9.0.1/24"))
        .unwrap();
    let mac = "02:42:0a:09:00:02".parse().unwrap();
    let peer = Peer {
        name: "eth0",
        mac: Some(mac),
        mtu: Some(1400),
        netns: Some(inside.as_fd()),
    };
    let veth = NewLink {
        up: true,
        master: Some(bridge.index),
        mtu: Some(1400),
        ..NewLink::new("veth-test", LinkKind::Veth(peer))
    };
    netlink.create_link(&veth).unwrap();
    let port = netlink.link("veth-test").unwrap().unwrap();
    assert_eq!(port.master, Some(bridge.index));
    netlink
        .set_bridge_port(port.index, "veth-test", true, false)
        .unwrap();
    in_netns(inside.as_fd(), || {
        let mut netlink = Rtnetlink::open().unwrap();
        netlink.change_link(1, "lo", &up()).unwrap();
        let eth0 = netlink.link("eth0").unwrap().unwrap();
        assert_eq!((eth0.mac, eth0.mtu), (Some(mac), 1400));
        netlink
            .add_address(eth0.index, "eth0", cidr("10.9.0.2/24"))
            .unwrap();
        netlink.change_link(eth0.index, "eth0", &up()).unwrap();
        netlink
            .add_route(&Route::default_via("10.9.0.1".parse().unwrap(), eth0.index))
            .unwrap();
        let routes = netlink.routes().unwrap();
        assert!(
            routes
                .iter()
                .any(|r| r.destination == cidr("0.0.0.0/0") && r.gateway.is_some())
        );
        assert!(
            netlink
                .addresses()
                .unwrap()
                .iter()
                .any(|a| a.cidr == cidr("10.9.0.2/24") && a.link == eth0.index)
        );
    })
    .unwrap();
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_bridge_and_a_veth_pair_carry_packets_and_go_without_trace() {
    let (host, inside) = (new_netns().unwrap(), new_netns().unwrap());
    let server = in_netns(host.as_fd(), || {
        bridge_with_container(&inside);
        TcpListener::bind("10.9.0.1:7").unwrap()
    })
    .unwrap();
    let client = in_netns(inside.as_fd(), || TcpStream::connect("10.9.0.1:7").unwrap()).unwrap();
    assert_eq!(server.accept().unwrap().1, client.local_addr().unwrap());
    let left = in_netns(host.as_fd(), || {
        let mut netlink = Rtnetlink::open().unwrap();
        netlink.delete_link("veth-test").unwrap();
        netlink.delete_link("br-test").unwrap();
        assert!(netlink.delete_link("br-test").unwrap_err().is_absent());
        netlink
            .links()
            .unwrap()
            .into_iter()
            .map(|link| link.name)
            .collect::<Vec<_>>()
    })
    .unwrap();
    assert!(!left.iter().any(|name| name.ends_with("test")), "{left:?}");
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn errors_name_the_object_and_carry_the_kernels_text() {
    let netns = new_netns().unwrap();
    in_netns(netns.as_fd(), || {
        let mut netlink = Rtnetlink::open().unwrap();
        let bridge = NewLink::new("br-test", LinkKind::Bridge(BridgeOptions::default()));
        netlink.create_link(&bridge).unwrap();
        let again = netlink.create_link(&bridge).unwrap_err();
        assert!(
            again.is_present() && again.to_string().starts_with("create bridge br-test: "),
            "{again}"
        );
        let bad = netlink
            .add_route(&Route::default_via("10.1.1.1".parse().unwrap(), 0))
            .unwrap_err();
        assert!(
            bad.to_string().contains("add route 0.0.0.0/0")
                && bad.to_string().contains("(kernel: "),
            "{bad}"
        );
        assert_eq!(netlink.link("absent0").unwrap(), None);
    })
    .unwrap();
}

const RAW: Chain = Chain {
    name: "raw",
    kind: ChainType::Filter,
    hook: Hook::Prerouting,
    priority: PRIORITY_RAW,
};
const FORWARD: Chain = Chain {
    name: "forward",
    kind: ChainType::Filter,
    hook: Hook::Forward,
    priority: PRIORITY_FILTER,
};
const OUTPUT: Chain = Chain {
    name: "output",
    kind: ChainType::Nat,
    hook: Hook::Output,
    priority: PRIORITY_DSTNAT,
};
const POSTROUTING: Chain = Chain {
    name: "postrouting",
    kind: ChainType::Nat,
    hook: Hook::Postrouting,
    priority: PRIORITY_SRCNAT,
};

fn publish_port() -> sys::netlink::Result<()> {
    let inet = Family::Inet;
    let mut batch = Batch::new();
    batch
        .add_table(inet, "test")
        .add_chain(inet, "test", &RAW)
        .add_chain(inet, "test", &FORWARD);
    batch
        .add_chain(inet, "test", &OUTPUT)
        .add_chain(inet, "test", &POSTROUTING)
        .flush_table(inet, "test");
    let to = "10.9.0.2".parse().unwrap();
    let publish = Rule::new()
        .destination_is_local()
        .ipv6(false)
        .to_port(Transport::Tcp, 8080)
        .counter()
        .dnat(to, 80);
    batch.add_rule(inet, "test", "output", &publish);
    let masquerade = Rule::new()
        .to_link("br-test")
        .source(cidr("127.0.0.0/8"))
        .is_dnat()
        .masquerade();
    batch.add_rule(inet, "test", "postrouting", &masquerade);
    let established = Rule::new()
        .state(ConntrackState::ESTABLISHED_OR_RELATED)
        .accept();
    batch.add_rule(inet, "test", "forward", &established);
    let v6 = Rule::new()
        .source(cidr("fd00::/64"))
        .destination_not(cidr("fd00::/64"))
        .drop_packet();
    batch.add_rule(inet, "test", "forward", &v6);
    let spoofed = Rule::new()
        .from_link("br-test")
        .destination(cidr("127.0.0.0/8"))
        .drop_packet();
    batch.add_rule(inet, "test", "raw", &spoofed);
    batch.commit()
}

#[test]
#[ignore = "needs root and a kernel that translates addresses: cargo test -- --include-ignored"]
fn a_published_port_reaches_the_container_and_the_table_goes() {
    let (host, inside) = (new_netns().unwrap(), new_netns().unwrap());
    let published = in_netns(host.as_fd(), || {
        bridge_with_container(&inside);
        std::fs::write("/proc/sys/net/ipv4/conf/br-test/route_localnet", "1").unwrap();
        publish_port()
    })
    .unwrap();
    published.expect("a kernel that translates addresses");
    let server = in_netns(inside.as_fd(), || TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
    for target in ["127.0.0.1:8080", "10.9.0.1:8080"] {
        let mut client = in_netns(host.as_fd(), || TcpStream::connect(target).unwrap()).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        client.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        accepted.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"ping");
    }
    in_netns(host.as_fd(), || {
        publish_port().unwrap();
        let mut bad = Batch::new();
        bad.add_rule(Family::Inet, "test", "absent", &Rule::new().accept());
        let error = bad.commit().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("add rule to test absent: accept: "),
            "{error}"
        );
        assert_eq!(tables().unwrap(), [(Family::Inet, "test".to_owned())]);
        let mut batch = Batch::new();
        batch.delete_table(Family::Inet, "test");
        batch.commit().unwrap();
        assert_eq!(tables().unwrap(), []);
    })
    .unwrap();
}
