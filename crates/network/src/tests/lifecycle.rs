//! Creating, connecting, removing; what the API refuses; nothing is left behind.

use engine_api::{EndpointIpamConfig, Filters, Network};
use sys::netlink::nftables::tables;

use super::*;
use crate::ConnectTarget;
use crate::files::FilesRequest;

fn refused(world: &World, change: impl FnOnce(&mut NetworkCreate)) -> (u16, String) {
    let mut request = NetworkCreate {
        name: "other".into(),
        ..NetworkCreate::default()
    };
    change(&mut request);
    let error = world.networks.create(&request).unwrap_err();
    (error.status.as_u16(), error.message)
}

fn names(networks: &[Network]) -> Vec<&str> {
    networks
        .iter()
        .map(|network| network.name.as_str())
        .collect()
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn impossible_networks_are_refused_in_dockers_words() {
    in_world(|world| async move {
        world.create("front", |request| request.ipam = subnet("10.50.0.0/16"));
        assert_eq!(
            refused(&world, |r| r.name = "front".into()),
            (409, "network with name front already exists".into())
        );
        assert_eq!(
            refused(&world, |r| r.name = "host".into()),
            (
                403,
                "operation is not permitted on predefined host network ".into()
            )
        );
        assert_eq!(
            refused(&world, |r| r.driver = "overlay2".into()),
            (404, "plugin \"overlay2\" not found".into())
        );
        assert_eq!(
            refused(&world, |r| r.driver = "host".into()),
            (
                403,
                "only one instance of \"host\" network is allowed".into()
            )
        );
        let overlap = "Pool overlaps with other one on this address space";
        assert_eq!(
            refused(&world, |r| r.ipam = subnet("10.50.7.0/24")),
            (403, overlap.into())
        );
        assert_eq!(refused(&world, |r| r.ipam = subnet("10.50.7.1/24")).0, 400);
        let (status, text) = refused(&world, |r| {
            r.options
                .insert("com.docker.network.bridge.name".into(), "docker-sys".into());
        });
        assert!(
            status == 403 && text.contains("networks have same bridge name"),
            "{text}"
        );
        assert_eq!(refused(&world, |r| r.enable_ipv6 = true).0, 404);
        assert_eq!(
            world.networks.remove("bridge").unwrap_err().message,
            "bridge is a pre-defined network and cannot be removed"
        );
        assert_eq!(
            world.networks.remove("absent").unwrap_err().message,
            "network absent not found"
        );
        assert_eq!(
            outside(links)
                .await
                .iter()
                .filter(|name| name.starts_with("br-"))
                .count(),
            1
        );
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn networks_are_found_listed_and_pruned() {
    in_world(|mut world| async move {
        let id = world.create("front", |request| {
            request.labels.insert("tier".into(), "web".into());
        });
        world.create("back", |_| {});
        let all = world.networks.list(&Filters::default()).unwrap();
        assert_eq!(names(&all), ["back", "bridge", "front", "host", "none"]);
        let by = |key: &str, value: &str| {
            let filters = Filters::default().with(key, value);
            world
                .networks
                .list(&filters)
                .unwrap()
                .into_iter()
                .map(|network| network.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(by("label", "tier=web"), ["front"]);
        assert_eq!(by("type", "custom"), ["back", "front"]);
        assert_eq!(by("driver", "null"), ["none"]);
        assert_eq!(by("name", "ro"), ["front"]);
        assert_eq!(by("name", "^(front|back)$"), ["back", "front"]);
        assert!(by("name", "^ro").is_empty());
        assert_eq!(by("id", &id[..20]), ["front"]);
        assert_eq!(by("dangling", "true"), ["back", "front"]);
        assert_eq!(
            world
                .networks
                .list(&Filters::default().with("colour", "red"))
                .unwrap_err()
                .status,
            400
        );
        assert_eq!(world.networks.inspect(&id[..20]).unwrap().name, "front");
        // The pools were used, and a restart of the engine changes nothing.
        let before = world.networks.list(&Filters::default()).unwrap();
        assert_eq!(before[2].ipam.config[0].subnet, "172.19.0.0/16");
        assert_eq!(before[2].ipam.config[0].gateway, "172.19.0.1");
        world.reopen();
        assert_eq!(world.networks.list(&Filters::default()).unwrap(), before);
        let web = Container::new("web");
        world.networks.attach(&web.request("back")).unwrap();
        assert_eq!(world.networks.remove("back").unwrap_err().status, 403);
        let pruned = world.networks.prune(&Filters::default()).unwrap();
        assert_eq!(pruned.networks_deleted, Some(vec!["front".to_owned()]));
        assert_eq!(
            world
                .networks
                .prune(&Filters::default())
                .unwrap()
                .networks_deleted,
            None
        );
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
#[expect(clippy::too_many_lines, reason = "one story")]
fn a_running_container_is_connected_and_disconnected() {
    in_world(|world| async move {
        world.create("front", |_| {});
        let (web, db) = (Container::new("web"), Container::new("db"));
        world.networks.attach(&web.request("bridge")).unwrap();
        let to = address(
            &world
                .networks
                .attach(&db.request("front"))
                .unwrap()
                .networks["front"],
        );
        db.greet(80).await;
        let target = ConnectTarget {
            container_id: web.id.clone(),
            container_name: "web".into(),
            pid: Some(web.pid),
            network_mode: "default".into(),
            networks: vec!["bridge".into()],
            ..ConnectTarget::default()
        };
        let wish = EndpointSettings::default();
        let connected = world.networks.connect("front", &target, &wish).unwrap();
        let (name, endpoint) = connected.unwrap();
        assert_eq!(
            (name.as_str(), endpoint.dns_names.unwrap()[0].as_str()),
            ("front", "web")
        );
        let to = SocketAddr::new(to, 80);
        assert!(
            web.run(move || links() == ["eth0", "eth1", "lo"] && greeted(to, PATIENCE))
                .await
        );
        let again = world.networks.connect("front", &target, &wish).unwrap_err();
        assert_eq!(
            (again.status.as_u16(), again.message.as_str()),
            (
                403,
                "endpoint with name web already exists in network front"
            )
        );
        assert_eq!(
            world
                .networks
                .connect("host", &target, &wish)
                .unwrap_err()
                .status,
            400
        );
        assert_eq!(
            world.networks.disconnect("front", &target, false).unwrap(),
            "front"
        );
        assert!(
            web.run(move || links() == ["eth0", "lo"] && !greeted(to, SILENCE))
                .await
        );
        assert_eq!(
            world
                .networks
                .disconnect("front", &target, false)
                .unwrap_err()
                .status,
            500
        );
        assert_eq!(
            world.networks.disconnect("bridge", &target, false).unwrap(),
            "bridge"
        );
        assert_eq!(web.run(links).await, ["lo"]);
        let stopped = ConnectTarget {
            pid: None,
            ..target
        };
        let connected = world.networks.connect("front", &stopped, &wish).unwrap();
        let (_, remembered) = connected.unwrap();
        assert_eq!(
            (remembered.ip_address.as_str(), remembered.network_id.len()),
            ("", 64)
        );
        let joined = ConnectTarget {
            networks: vec!["front".into()],
            ..stopped
        };
        let again = world.networks.connect("front", &joined, &wish).unwrap();
        assert_eq!(again, None, "Docker changes nothing");
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn connecting_is_refused_and_forgotten_as_in_docker() {
    in_world(|world| async move {
        let config = |subnet: &str| IpamConfig {
            subnet: subnet.into(),
            ..IpamConfig::default()
        };
        world.create("both", |request| {
            request.enable_ipv6 = true;
            request.ipam = Some(Ipam {
                config: vec![config("fd00:1::/64"), config("10.9.0.0/16")],
                ..Ipam::default()
            });
        });
        let shown = world.networks.inspect("both").unwrap().ipam;
        assert_eq!(shown.config[0].subnet, "10.9.0.0/16");
        let target = ConnectTarget {
            container_name: "web".into(),
            network_mode: "none".into(),
            networks: vec!["none".into(), "gone".into()],
            ..ConnectTarget::default()
        };
        let mut wish = EndpointSettings {
            aliases: Some(vec!["a".into()]),
            ..EndpointSettings::default()
        };
        for network in ["bridge", "host", "none"] {
            let error = world.networks.connect(network, &target, &wish).unwrap_err();
            assert!(error.message.contains("network-scoped alias"), "{error}");
        }
        wish.ipam_config = Some(EndpointIpamConfig {
            ipv6_address: "::ffff:10.9.0.9".into(),
            ..EndpointIpamConfig::default()
        });
        let error = world.networks.connect("both", &target, &wish).unwrap_err();
        assert!(error.message.contains("invalid IPv6 address"), "{error}");
        let gone = |force| world.networks.disconnect("gone", &target, force);
        assert_eq!(gone(false).unwrap_err().status, 404);
        assert_eq!(gone(true).unwrap(), "gone");
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn the_hosts_names_are_those_of_containers_in_its_network() {
    in_world(|world| async move {
        let hosts = world.directory.path().join("hosts");
        let names = |mode, extra: &[String]| {
            let request = FilesRequest {
                network_mode: mode,
                extra_hosts: extra,
                ..FilesRequest::default()
            };
            world.networks.files(&request).unwrap().hosts
        };
        assert!(names("host", &[]).starts_with("127.0.0.1\tlocalhost\n"));
        std::fs::write(&hosts, "127.0.0.1 here\n").unwrap();
        assert_eq!(names("host", &[]), "127.0.0.1 here\n");
        assert!(!names("bridge", &[]).contains("here"));
        assert!(!names("host", &["a:10.0.0.1".to_owned()]).contains("here"));
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn nothing_is_left_behind() {
    in_world(|mut world| async move {
        world.create("front", |_| {});
        let before = outside(links).await;
        let web = Container::new("web");
        let mut request = web.request("front");
        publish(&mut request, "80/tcp", "", "8080");
        world.networks.attach(&request).unwrap();
        assert_eq!(world.networks.detach(&web.id), Vec::<String>::new());
        assert_eq!(outside(links).await, before);
        assert_eq!(world.networks.detach(&web.id), Vec::<String>::new());
        // The engine dies with a container attached; the container is gone when it comes back.
        world.networks.attach(&request).unwrap();
        world.reopen();
        assert_eq!(world.networks.reconcile(|_| None), Vec::<String>::new());
        assert_eq!(outside(links).await, before);
        // A veth that no record knows.
        world.networks.attach(&request).unwrap();
        std::fs::remove_file(world.directory.path().join(format!("run/{}.json", web.id))).unwrap();
        world.reopen();
        assert_eq!(world.networks.reconcile(|_| None), Vec::<String>::new());
        assert_eq!(outside(links).await, before);
        world.networks.remove("front").unwrap();
        assert_eq!(outside(links).await, ["docker-sys", "lo", "uplink"]);
        world
            .networks
            .0
            .state
            .borrow_mut()
            .firewall
            .clear()
            .unwrap();
        assert_eq!(outside(|| tables().unwrap()).await, []);
        let files = std::fs::read_dir(world.directory.path().join("run"))
            .unwrap()
            .count();
        assert_eq!(files, 0);
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn what_a_killed_engine_began_to_write_is_cleared() {
    in_world(|mut world| async move {
        let half = ["networks", "run"].map(|folder| {
            let record = world.directory.path().join(folder).join("f.json");
            sys::atomic_file::hidden(&record)
        });
        for path in &half {
            std::fs::write(path, "{").unwrap();
        }
        world.reopen();
        assert!(half.iter().all(|path| !path.exists()));
    });
}
