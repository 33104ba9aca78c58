//! Published ports: who reaches them, and what happens when two want the same.

use std::net::UdpSocket;

use engine_api::PortMap;

use super::*;
use crate::ConnectTarget;

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_published_port_is_reached_from_everywhere() {
    in_world(|mut world| async move {
        world.create("front", |_| {});
        let (web, peer, stranger) = (
            Container::new("web"),
            Container::new("peer"),
            Container::new("stranger"),
        );
        let mut request = web.request("front");
        publish(&mut request, "80/tcp", "", "8080");
        let attachment = world.networks.attach(&request).unwrap();
        let bindings = attachment.ports["80/tcp"].clone().unwrap();
        let shown: Vec<_> = bindings
            .iter()
            .map(|b| (b.host_ip.as_str(), b.host_port.as_str()))
            .collect();
        assert_eq!(shown, [("0.0.0.0", "8080"), ("::", "8080")]);
        world.networks.attach(&peer.request("front")).unwrap();
        world.networks.attach(&stranger.request("bridge")).unwrap();
        web.greet(80).await;
        let host: SocketAddr = format!("{HOST}:8080").parse().unwrap();
        for local in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "192.0.2.1:8080",
            "172.18.42.1:8080",
        ] {
            assert!(
                outside(move || greeted(local.parse().unwrap(), PATIENCE)).await,
                "{local}"
            );
        }
        assert!(
            world.neighbour.run(move || greeted(host, PATIENCE)).await,
            "another machine"
        );
        assert!(
            peer.run(move || greeted(host, PATIENCE)).await,
            "a container of the same network"
        );
        assert!(
            web.run(move || greeted(host, PATIENCE)).await,
            "the container itself"
        );
        assert!(
            stranger.run(move || greeted(host, PATIENCE)).await,
            "a container of another network"
        );
        // A restart of the engine keeps it.
        world.reopen();
        let pid = web.pid;
        let id = web.id.clone();
        let errors = world
            .networks
            .reconcile(|container| (container == id).then_some(pid));
        assert_eq!(errors, Vec::<String>::new());
        for local in ["127.0.0.1:8080", "[::1]:8080"] {
            assert!(
                outside(move || greeted(local.parse().unwrap(), PATIENCE)).await,
                "{local} after restart"
            );
        }
        assert_eq!(world.networks.detach(&web.id), Vec::<String>::new());
        assert!(
            !outside(move || greeted(host, SILENCE)).await,
            "after detach"
        );
    });
}

/// Sends packets for loopback addresses to the gateway on `link`, as an attacker's machine would.
fn route_loopback_through(link: &str, gateway: &str) {
    let down = LinkChange {
        up: Some(false),
        ..LinkChange::default()
    };
    let mut netlink = Rtnetlink::open().unwrap();
    let index = netlink.link(link).unwrap().unwrap().index;
    netlink.change_link(1, "lo", &down).unwrap();
    std::fs::write(
        format!("/proc/sys/net/ipv4/conf/{link}/route_localnet"),
        "1",
    )
    .unwrap();
    let mut route = sys::netlink::Route::default_via(gateway.parse().unwrap(), index);
    route.destination = cidr("127.0.0.0/8");
    netlink.add_route(&route).unwrap();
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn loopback_services_of_the_host_stay_private() {
    in_world(|world| async move {
        let evil = Container::new("evil");
        world.networks.attach(&evil.request("bridge")).unwrap();
        let secret = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = secret.local_addr().unwrap().port();
        let reached = evil
            .run(move || {
                route_loopback_through("eth0", "172.18.42.1");
                greeted(SocketAddr::new([127, 0, 0, 1].into(), port), SILENCE)
            })
            .await;
        assert!(!reached);
        secret.set_nonblocking(true).unwrap();
        assert!(secret.accept().is_err(), "the packet arrived");
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_port_published_on_loopback_does_not_answer_a_neighbour() {
    in_world(|world| async move {
        let web = Container::new("web");
        let mut request = web.request("bridge");
        publish(&mut request, "80/tcp", "127.0.0.1", "8080");
        world.networks.attach(&request).unwrap();
        web.greet(80).await;
        let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert!(outside(move || greeted(local, PATIENCE)).await);
        let reached = world.neighbour.run(move || {
            route_loopback_through("uplink", HOST);
            greeted(local, SILENCE)
        });
        assert!(!reached.await);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn the_same_port_is_refused_in_dockers_words() {
    in_world(|world| async move {
        let (one, two) = (Container::new("one"), Container::new("two"));
        let mut request = one.request("bridge");
        publish(&mut request, "80/tcp", "0.0.0.0", "80");
        world.networks.attach(&request).unwrap();
        let mut request = two.request("bridge");
        publish(&mut request, "81/tcp", "0.0.0.0", "80");
        let error = world.networks.attach(&request).unwrap_err();
        let text = error.message;
        assert!(
            text.starts_with("driver failed programming external connectivity on endpoint two ("),
            "{text}"
        );
        assert!(
            text.ends_with("): Bind for 0.0.0.0:80 failed: port is already allocated"),
            "{text}"
        );
        assert!(world.networks.attachment(&two.id).is_none());
        // Its address was given back, and another range still works.
        publish(&mut request, "81/tcp", "0.0.0.0", "80-82");
        let attachment = world.networks.attach(&request).unwrap();
        assert_eq!(
            attachment.ports["81/tcp"].as_ref().unwrap()[0].host_port,
            "81"
        );
        let alien = TcpListener::bind("0.0.0.0:90").unwrap();
        publish(&mut request, "81/tcp", "", "90");
        let text = world.networks.attach(&request).unwrap_err().message;
        assert!(
            text.ends_with("listen tcp4 0.0.0.0:90: bind: address already in use"),
            "{text}"
        );
        drop(alien);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn udp_is_published_and_exposed_ports_are_shown() {
    in_world(|world| async move {
        let echo = Container::new("echo");
        let mut request = echo.request("bridge");
        request.publish_all = true;
        request.exposed_ports = vec!["7/udp".into()];
        let attachment = world.networks.attach(&request).unwrap();
        let port: u16 = attachment.ports["7/udp"].as_ref().unwrap()[0]
            .host_port
            .parse()
            .unwrap();
        assert!((32768..=60999).contains(&port));
        let server = echo.run(|| UdpSocket::bind("0.0.0.0:7").unwrap()).await;
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((len, from)) = server.recv_from(&mut buffer) {
                let _ = server.send_to(&buffer[..len], from);
            }
        });
        for (from, to) in [
            ("0.0.0.0:0", "127.0.0.1"),
            ("0.0.0.0:0", HOST),
            ("[::]:0", "::1"),
        ] {
            let answer = outside(move || {
                let socket = UdpSocket::bind(from).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket
                    .send_to(b"ping", SocketAddr::new(to.parse().unwrap(), port))
                    .unwrap();
                let mut buffer = [0; 4];
                socket.recv(&mut buffer).map(|_| buffer)
            });
            assert_eq!(&answer.await.unwrap(), b"ping", "{to}");
        }
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn ports_follow_the_networks_of_a_running_container() {
    in_world(|world| async move {
        world.create("inside", |request| request.internal = true);
        world.create("front", |_| {});
        let web = Container::new("web");
        let mut request = web.request("inside");
        publish(&mut request, "80/tcp", "", "8080");
        let attachment = world.networks.attach(&request).unwrap();
        assert_eq!(attachment.ports, PortMap::new(), "no way out, no port");
        web.greet(80).await;
        let target = ConnectTarget {
            container_id: web.id.clone(),
            container_name: "web".into(),
            pid: Some(web.pid),
            network_mode: "inside".into(),
            port_bindings: request.port_bindings.clone(),
            ..ConnectTarget::default()
        };
        let host: SocketAddr = format!("{HOST}:8080").parse().unwrap();
        let wish = EndpointSettings::default();
        world.networks.connect("front", &target, &wish).unwrap();
        world.networks.connect("bridge", &target, &wish).unwrap();
        let published = || world.networks.attachment(&web.id).unwrap().ports;
        assert_eq!(published()["80/tcp"].as_ref().unwrap().len(), 2);
        assert!(outside(move || greeted(host, PATIENCE)).await, "front");
        // The network that published is left: the other one does.
        world.networks.disconnect("front", &target, false).unwrap();
        assert_eq!(published()["80/tcp"].as_ref().unwrap().len(), 2);
        assert!(outside(move || greeted(host, PATIENCE)).await, "bridge");
        world.networks.disconnect("bridge", &target, false).unwrap();
        assert_eq!(published(), PortMap::new());
        assert!(!outside(move || greeted(host, SILENCE)).await, "nowhere");
    });
}

/// Where a container's default route leads and where its ports do; host ports.
fn way_out(world: &World, id: &str) -> (Vec<IpAddr>, Vec<u16>) {
    let state = world.networks.0.state.borrow();
    let ports = &state.sandboxes[id].record.ports;
    let mut targets: Vec<_> = ports.iter().map(|port| port.target).collect();
    targets.dedup();
    (targets, ports.iter().map(|port| port.host_port).collect())
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn the_first_network_in_lexical_order_is_the_way_out() {
    in_world(|world| async move {
        world.create("alpha", |_| {});
        world.create("omega", |_| {});
        world.create("aaa", |request| request.internal = true);
        let web = Container::new("web");
        let mut request = web.request("omega");
        request.publish_all = true;
        request.exposed_ports = vec!["80/tcp".into(), "81/tcp".into()];
        let attachment = world.networks.attach(&request).unwrap();
        let omega = address(&attachment.networks["omega"]);
        web.greet(80).await;
        let target = ConnectTarget {
            container_id: web.id.clone(),
            container_name: "web".into(),
            pid: Some(web.pid),
            network_mode: "omega".into(),
            exposed_ports: request.exposed_ports.clone(),
            publish_all: true,
            ..ConnectTarget::default()
        };
        let wish = EndpointSettings::default();
        let interface = || web.run(default_interface);
        let (targets, ports) = way_out(&world, &web.id);
        assert_eq!((targets, interface().await), (vec![omega], "eth0".into()));
        // What has no way out does not count.
        world.networks.connect("aaa", &target, &wish).unwrap();
        assert_eq!(way_out(&world, &web.id), (vec![omega], ports.clone()));
        let connected = world.networks.connect("alpha", &target, &wish).unwrap();
        let (_, endpoint) = connected.unwrap();
        let alpha = address(&endpoint);
        assert_eq!(way_out(&world, &web.id), (vec![alpha], ports.clone()));
        assert_eq!(interface().await, "eth2");
        let host = SocketAddr::new(HOST.parse().unwrap(), ports[0]);
        assert!(outside(move || greeted(host, PATIENCE)).await, "alpha");
        world.networks.connect("bridge", &target, &wish).unwrap();
        assert_eq!(way_out(&world, &web.id), (vec![alpha], ports.clone()));
        world.networks.disconnect("alpha", &target, false).unwrap();
        let (targets, ports) = way_out(&world, &web.id);
        assert_ne!(targets, [omega], "bridge comes before omega");
        assert_eq!(interface().await, "eth3");
        let host = SocketAddr::new(HOST.parse().unwrap(), ports[0]);
        assert!(outside(move || greeted(host, PATIENCE)).await, "bridge");
        world.networks.disconnect("bridge", &target, false).unwrap();
        assert_eq!(way_out(&world, &web.id).0, [omega]);
        assert_eq!(interface().await, "eth0");
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn where_nobody_comes_in_no_ports_are_shown() {
    in_world(|world| async move {
        world.create("inside", |request| request.internal = true);
        world.create("outside", |_| {});
        let web = Container::new("web");
        let mut request = web.request("inside");
        request.publish_all = true;
        request.exposed_ports = vec!["80/tcp".into()];
        assert!(world.networks.attach(&request).unwrap().ports.is_empty());
        let target = ConnectTarget {
            container_id: web.id.clone(),
            container_name: "web".into(),
            pid: Some(web.pid),
            network_mode: "inside".into(),
            exposed_ports: request.exposed_ports.clone(),
            publish_all: true,
            ..ConnectTarget::default()
        };
        let wish = EndpointSettings::default();
        let ports = || world.networks.attachment(&web.id).unwrap().ports;
        world.networks.connect("outside", &target, &wish).unwrap();
        assert!(ports()["80/tcp"].is_some());
        world
            .networks
            .disconnect("outside", &target, false)
            .unwrap();
        assert!(ports().is_empty());
    });
}

/// The link of the default route, inside a container.
fn default_interface() -> String {
    let mut netlink = Rtnetlink::open().unwrap();
    let routes = netlink.routes().unwrap();
    let index = routes
        .iter()
        .find(|route| route.destination.prefix() == 0 && !route.destination.is_ipv6())
        .map(|route| route.link)
        .unwrap();
    links()
        .into_iter()
        .find(|name| netlink.link(name).unwrap().unwrap().index == index)
        .unwrap()
}
