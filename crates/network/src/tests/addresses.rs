//! Addresses, routes and isolation.

use engine_api::EndpointIpamConfig;
use sys::netlink::{BridgeOptions, Rtnetlink};

use super::*;
use crate::ConnectTarget;

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_container_gets_link_address_route_and_mac() {
    in_world(|world| async move {
        let web = Container::new("web");
        let attachment = world.networks.attach(&web.request("default")).unwrap();
        let endpoint = &attachment.networks["bridge"];
        assert_eq!(
            (endpoint.ip_address.as_str(), endpoint.ip_prefix_len),
            ("172.18.0.1", 16)
        );
        assert_eq!(
            (endpoint.gateway.as_str(), endpoint.mac_address.as_str()),
            ("172.18.42.1", "02:42:ac:12:00:01")
        );
        let mac = endpoint.mac_address.clone();
        web.run(move || {
            let mut netlink = Rtnetlink::open().unwrap();
            let eth0 = netlink.link("eth0").unwrap().unwrap();
            assert_eq!((eth0.mac.unwrap().to_string(), eth0.up), (mac, true));
            let addresses = netlink.addresses().unwrap();
            assert!(
                addresses
                    .iter()
                    .any(|address| address.cidr == cidr("172.18.0.1/16"))
            );
            assert!(
                addresses
                    .iter()
                    .any(|address| address.cidr == cidr("127.0.0.1/8"))
            );
            let routes = netlink.routes().unwrap();
            assert!(
                routes
                    .iter()
                    .any(|r| r.gateway == Some("172.18.42.1".parse().unwrap()))
            );
        })
        .await;
        let network = world.networks.inspect("bridge").unwrap();
        assert_eq!(network.containers[&web.id].ipv4_address, "172.18.0.1/16");
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn none_has_loopback_only() {
    in_world(|world| async move {
        let lonely = Container::new("lonely");
        let attachment = world.networks.attach(&lonely.request("none")).unwrap();
        assert_eq!(attachment.networks["none"].ip_address, "");
        lonely
            .run(|| {
                assert_eq!(links(), ["lo"]);
                drop(TcpListener::bind("127.0.0.1:0").unwrap());
                assert!(
                    Rtnetlink::open()
                        .unwrap()
                        .links()
                        .unwrap()
                        .iter()
                        .any(|link| link.up)
                );
            })
            .await;
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn containers_reach_the_world_under_the_hosts_address() {
    in_world(|world| async move {
        let web = Container::new("web");
        world.networks.attach(&web.request("bridge")).unwrap();
        let server = world
            .neighbour
            .run(|| TcpListener::bind("192.0.2.2:7").unwrap())
            .await;
        let client = web
            .run(|| TcpStream::connect_timeout(&"192.0.2.2:7".parse().unwrap(), PATIENCE))
            .await;
        assert!(client.is_ok(), "{client:?}");
        assert_eq!(server.accept().unwrap().1.ip().to_string(), HOST);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn networks_are_isolated_from_each_other_and_from_strangers() {
    in_world(|world| async move {
        world.create("front", |_| {});
        world.create("back", |_| {});
        let (web, db, spy) = (
            Container::new("web"),
            Container::new("db"),
            Container::new("spy"),
        );
        world.networks.attach(&web.request("front")).unwrap();
        let db_address =
            address(&world.networks.attach(&db.request("back")).unwrap().networks["back"]);
        world.networks.attach(&spy.request("back")).unwrap();
        db.greet(80).await;
        let to = SocketAddr::new(db_address, 80);
        assert!(spy.run(move || greeted(to, PATIENCE)).await, "same network");
        assert!(
            outside(move || greeted(to, PATIENCE)).await,
            "from the host"
        );
        assert!(
            !web.run(move || greeted(to, SILENCE)).await,
            "another network"
        );
        assert!(
            !world.neighbour.run(move || greeted(to, SILENCE)).await,
            "another machine, port not published"
        );
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn without_icc_containers_reach_the_host_only() {
    in_world(|world| async move {
        world.create("quiet", |request| {
            request.options.insert(
                "com.docker.network.bridge.enable_icc".into(),
                "false".into(),
            );
            request.ipam = subnet("10.20.0.0/24");
        });
        let (one, two) = (Container::new("one"), Container::new("two"));
        world.networks.attach(&one.request("quiet")).unwrap();
        let to = SocketAddr::new(
            address(
                &world
                    .networks
                    .attach(&two.request("quiet"))
                    .unwrap()
                    .networks["quiet"],
            ),
            80,
        );
        two.greet(80).await;
        assert!(outside(move || greeted(to, PATIENCE)).await);
        assert!(!one.run(move || greeted(to, SILENCE)).await);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn internal_networks_have_no_way_out() {
    in_world(|world| async move {
        world.create("inner", |request| request.internal = true);
        let web = Container::new("web");
        let attachment = world.networks.attach(&web.request("inner")).unwrap();
        assert_eq!(attachment.networks["inner"].gateway, "");
        let server = world
            .neighbour
            .run(|| TcpListener::bind("192.0.2.2:7").unwrap())
            .await;
        let gone = web
            .run(|| {
                let mut netlink = Rtnetlink::open().unwrap();
                let eth0 = netlink.link("eth0").unwrap().unwrap().index;
                // Even with a route that it made itself.
                let own = netlink
                    .addresses()
                    .unwrap()
                    .into_iter()
                    .find(|a| a.link == eth0 && !a.cidr.is_ipv6())
                    .unwrap();
                let gateway = own.cidr.nth(1).unwrap();
                netlink
                    .add_route(&sys::netlink::Route::default_via(gateway, eth0))
                    .unwrap();
                TcpStream::connect_timeout(&"192.0.2.2:7".parse().unwrap(), SILENCE).is_err()
            })
            .await;
        assert!(gone);
        drop(server);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn fixed_addresses_are_given_once() {
    in_world(|world| async move {
        world.create("front", |request| {
            request.enable_ipv6 = true;
            request.ipam = subnet("10.30.0.0/24");
            let v6 = IpamConfig {
                subnet: "fd00:30::/64".into(),
                ..IpamConfig::default()
            };
            request.ipam.as_mut().unwrap().config.push(v6);
        });
        let wish = |v4: &str| EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: v4.into(),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        let (one, two) = (Container::new("one"), Container::new("two"));
        let mut request = one.request("front");
        request.networks.insert("front".into(), wish("10.30.0.77"));
        let endpoint = world.networks.attach(&request).unwrap().networks["front"].clone();
        assert_eq!(
            (
                endpoint.ip_address.as_str(),
                endpoint.global_ipv6_address.as_str()
            ),
            ("10.30.0.77", "fd00:30::2")
        );
        assert_eq!(endpoint.ipv6_gateway, "fd00:30::1");
        let reached = one.run(|| {
            let address: SocketAddr = "[fd00:30::1]:9".parse().unwrap();
            // Nobody listens: "refused" means that the gateway answered.
            TcpStream::connect_timeout(&address, PATIENCE)
                .unwrap_err()
                .kind()
        });
        assert_eq!(reached.await, std::io::ErrorKind::ConnectionRefused);
        let mut request = two.request("front");
        request.networks.insert("front".into(), wish("10.30.0.77"));
        let error = world.networks.attach(&request).unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.message.as_str()),
            (403, "Address already in use")
        );
        request.networks.insert("front".into(), wish("10.31.0.1"));
        assert_eq!(world.networks.attach(&request).unwrap_err().status, 400);
        request.network_mode = "bridge".into();
        request.networks = [("bridge".to_owned(), wish("172.18.0.9"))].into();
        assert!(
            world
                .networks
                .attach(&request)
                .unwrap_err()
                .message
                .contains("on user defined networks only")
        );
        assert!(world.networks.attachment(&two.id).is_none());
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn link_local_addresses_are_added() {
    in_world(|world| async move {
        world.create("front", |request| request.ipam = subnet("10.30.0.0/24"));
        let wish = |link_local: &str| EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                link_local_ips: vec!["169.254.8.8".into(), link_local.into()],
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        let one = Container::new("one");
        let mut request = one.request("front");
        request.networks.insert("front".into(), wish("nonsense"));
        let error = world.networks.attach(&request).unwrap_err().message;
        assert!(
            error.ends_with("invalid link-local IP address: nonsense"),
            "{error}"
        );
        request.networks.insert("front".into(), wish("fe80::8"));
        world.networks.attach(&request).unwrap();
        let found = one
            .run(|| {
                let addresses = Rtnetlink::open().unwrap().addresses().unwrap();
                ["10.30.0.2/24", "169.254.8.8/16", "fe80::8/64"]
                    .map(|wanted| addresses.iter().any(|address| address.cidr == cidr(wanted)))
            })
            .await;
        assert_eq!(found, [true; 3]);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn macvlan_containers_share_the_parents_wire() {
    in_world(|world| async move {
        let id = world.create("wire", |request| {
            request.driver = "macvlan".into();
            request.ipam = subnet("192.0.2.0/24");
            request.options.insert("parent".into(), "uplink".into());
        });
        let one = Container::new("one");
        let mut request = one.request("wire");
        let ipam_config = EndpointIpamConfig {
            ipv4_address: "192.0.2.50".into(),
            ..EndpointIpamConfig::default()
        };
        let settings = EndpointSettings {
            ipam_config: Some(ipam_config),
            ..EndpointSettings::default()
        };
        request.networks.insert(id, settings);
        world.networks.attach(&request).unwrap();
        let server = world
            .neighbour
            .run(|| TcpListener::bind("192.0.2.2:7").unwrap())
            .await;
        let client = one
            .run(|| TcpStream::connect_timeout(&"192.0.2.2:7".parse().unwrap(), PATIENCE))
            .await;
        assert!(client.is_ok(), "{client:?}");
        assert_eq!(server.accept().unwrap().1.ip().to_string(), "192.0.2.50");
        assert_eq!(world.networks.detach(&one.id), Vec::<String>::new());
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_parent_may_have_the_name_of_the_containers_link() {
    in_world(|world| async move {
        bridge("eth0");
        world.create("wire", |request| {
            request.driver = "macvlan".into();
            request.options.insert("parent".into(), "eth0".into());
        });
        let one = Container::new("one");
        world.networks.attach(&one.request("wire")).unwrap();
        assert_eq!(one.run(links).await, ["eth0", "lo"]);
        // A name that the container has given away: nothing is left of the attempt.
        one.run(|| bridge("eth1")).await;
        world.create("second", |request| {
            request.driver = "macvlan".into();
            request.options.insert("parent".into(), "uplink".into());
        });
        let target = ConnectTarget {
            container_id: one.id.clone(),
            container_name: "one".into(),
            pid: Some(one.pid),
            network_mode: "wire".into(),
            ..ConnectTarget::default()
        };
        let wish = EndpointSettings::default();
        assert!(world.networks.connect("second", &target, &wish).is_err());
        assert_eq!(one.run(links).await, ["eth0", "eth1", "lo"]);
        assert_eq!(world.networks.detach(&one.id), Vec::<String>::new());
    });
}

/// Makes a link of this name here.
fn bridge(name: &str) {
    let kind = LinkKind::Bridge(BridgeOptions::default());
    let mut netlink = Rtnetlink::open().unwrap();
    netlink.create_link(&NewLink::new(name, kind)).unwrap();
}
