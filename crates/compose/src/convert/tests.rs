//! What services become.

use super::*;
use config::{CommandLine, Source, load};
use serde_json::json;

fn converted(yaml: &str) -> Converted {
    let text = format!("rancher: {{services: {{svc: {yaml}}}}}");
    let source = Source {
        name: "t.yml",
        text: &text,
    };
    let loaded = load(&[source], &CommandLine::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let rancher = &loaded.config.rancher;
    let around = Around {
        variables: rancher.environment.clone(),
        services: &rancher.services,
    };
    create_request("svc", &rancher.services["svc"], &around)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_key_lands_in_its_place() {
    for (yaml, pointer, want) in [
        ("image: x", "/Image", json!("x")),
        ("command: a 'b c'", "/Cmd", json!(["a", "b c"])),
        ("entrypoint: [/bin/x]", "/Entrypoint", json!(["/bin/x"])),
        ("environment: {A: 1}", "/Env", json!(["A=1"])),
        ("user: '0:0'", "/User", json!("0:0")),
        ("working_dir: /w", "/WorkingDir", json!("/w")),
        ("tty: true", "/Tty", json!(true)),
        ("stdin_open: true", "/OpenStdin", json!(true)),
        ("stop_signal: SIGINT", "/StopSignal", json!("SIGINT")),
        ("stop_grace_period: 1m", "/StopTimeout", json!(60)),
        ("labels: [a=b]", "/Labels/a", json!("b")),
        ("volumes: [/data]", "/Volumes", json!({"/data": {}})),
        ("expose: [80]", "/ExposedPorts", json!({"80/tcp": {}})),
        ("hostname: h", "/Hostname", json!("h")),
        (
            "healthcheck: {test: curl x, interval: 5s}",
            "/Healthcheck",
            json!({"Test": ["CMD-SHELL", "curl x"], "Interval": 5_000_000_000_i64}),
        ),
        (
            "healthcheck: {disable: true}",
            "/Healthcheck/Test",
            json!(["NONE"]),
        ),
        (
            "volumes: ['/a:/b:ro,slave', 'name:/c']",
            "/HostConfig/Binds",
            json!(["/a:/b:ro,slave", "name:/c"]),
        ),
        (
            "volumes_from: ['v:ro']",
            "/HostConfig/VolumesFrom",
            json!(["v:ro"]),
        ),
        ("net: host", "/HostConfig/NetworkMode", json!("host")),
        (
            "network_mode: 'service:a'",
            "/HostConfig/NetworkMode",
            json!("container:a"),
        ),
        ("pid: host", "/HostConfig/PidMode", json!("host")),
        ("ipc: host", "/HostConfig/IpcMode", json!("host")),
        ("uts: host", "/HostConfig/UTSMode", json!("host")),
        ("cgroup: host", "/HostConfig/CgroupnsMode", json!("host")),
        ("privileged: true", "/HostConfig/Privileged", json!(true)),
        (
            "cap_add: [NET_ADMIN]",
            "/HostConfig/CapAdd",
            json!(["NET_ADMIN"]),
        ),
        ("cap_drop: [ALL]", "/HostConfig/CapDrop", json!(["ALL"])),
        ("read_only: true", "/HostConfig/ReadonlyRootfs", json!(true)),
        (
            "devices: [/dev/rtc]",
            "/HostConfig/Devices",
            json!([{"PathOnHost": "/dev/rtc", "PathInContainer": "/dev/rtc", "CgroupPermissions": "rwm"}]),
        ),
        ("dns: 1.1.1.1", "/HostConfig/Dns", json!(["1.1.1.1"])),
        (
            "restart: always",
            "/HostConfig/RestartPolicy/Name",
            json!("always"),
        ),
        (
            "restart: 'on-failure:3'",
            "/HostConfig/RestartPolicy",
            json!({"Name": "on-failure", "MaximumRetryCount": 3}),
        ),
        ("restart: no", "/HostConfig/RestartPolicy/Name", json!("no")),
        (
            "tmpfs: ['/run:size=1m', /tmp]",
            "/HostConfig/Tmpfs",
            json!({"/run": "size=1m", "/tmp": ""}),
        ),
        (
            "security_opt: [no-new-privileges]",
            "/HostConfig/SecurityOpt",
            json!(["no-new-privileges"]),
        ),
        (
            "log_driver: json-file",
            "/HostConfig/LogConfig/Type",
            json!("json-file"),
        ),
        (
            "log_opt: {max-size: 1m}",
            "/HostConfig/LogConfig/Config",
            json!({"max-size": "1m"}),
        ),
        ("mem_limit: 64m", "/HostConfig/Memory", json!(67_108_864)),
        ("memswap_limit: -1", "/HostConfig/MemorySwap", json!(-1)),
        ("shm_size: 1m", "/HostConfig/ShmSize", json!(1_048_576)),
        (
            "oom_score_adj: -100",
            "/HostConfig/OomScoreAdj",
            json!(-100),
        ),
        ("pids_limit: 50", "/HostConfig/PidsLimit", json!(50)),
        (
            "ulimits: {nofile: {soft: 1, hard: 2}}",
            "/HostConfig/Ulimits",
            json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]),
        ),
        (
            "ulimits: {core: 0}",
            "/HostConfig/Ulimits",
            json!([{"Name": "core", "Soft": 0, "Hard": 0}]),
        ),
        (
            "sysctls: {net.ipv4.ip_forward: 1}",
            "/HostConfig/Sysctls",
            json!({"net.ipv4.ip_forward": "1"}),
        ),
        (
            "extra_hosts: ['a:1.2.3.4']",
            "/HostConfig/ExtraHosts",
            json!(["a:1.2.3.4"]),
        ),
        ("cpus: 1.5", "/HostConfig/NanoCpus", json!(1_500_000_000)),
        (
            "cpu_period: 100000",
            "/HostConfig/CpuPeriod",
            json!(100_000),
        ),
        (
            "log_driver: syslog, logging: {driver: json-file}",
            "/HostConfig/LogConfig/Type",
            json!("json-file"),
        ),
        (
            "log_opt: {tag: a, max-size: 1m}, logging: {options: {max-size: 2m}}",
            "/HostConfig/LogConfig/Config",
            json!({"max-size": "2m", "tag": "a"}),
        ),
        (
            "ports: ['81:81', {target: 80, published: 8080, host_ip: '::1', protocol: udp}, {target: 82}]",
            "/HostConfig/PortBindings",
            json!({
                "80/udp": [{"HostIp": "::1", "HostPort": "8080"}],
                "81/tcp": [{"HostIp": "", "HostPort": "81"}],
                "82/tcp": [{"HostIp": "", "HostPort": ""}],
            }),
        ),
        (
            "volumes: ['/a:/b', {type: bind, source: /c, target: /d, read_only: true, bind: {propagation: rslave}}, {type: volume, source: n, target: /e, volume: {nocopy: true}}]",
            "/HostConfig/Binds",
            json!(["/a:/b", "/c:/d:ro,rslave", "n:/e:nocopy"]),
        ),
        (
            "volumes: {type: volume, target: /data}",
            "/Volumes",
            json!({"/data": {}}),
        ),
        (
            "volumes: [{type: tmpfs, target: /t, read_only: true, tmpfs: {size: 64m, mode: '1777'}}]",
            "/HostConfig/Tmpfs",
            json!({"/t": "ro,size=64m,mode=1777"}),
        ),
        (
            "volumes: ['/own:/opt'], volumes_from: ['user-volumes:ro']",
            "/HostConfig/Binds",
            json!([
                "/own:/opt",
                "/home:/home:ro",
                "/var/lib/kubelet:/var/lib/kubelet:ro"
            ]),
        ),
        (
            "volumes_from: [media-volumes, 'container:other:ro']",
            "/HostConfig/Binds",
            json!(["/media:/media:shared", "/mnt:/mnt:shared"]),
        ),
        (
            "volumes_from: [media-volumes, 'container:other:ro']",
            "/HostConfig/VolumesFrom",
            json!(["other:ro"]),
        ),
        (
            "volumes_from: ['media-volumes:ro']",
            "/HostConfig/Binds",
            json!(["/media:/media:shared,ro", "/mnt:/mnt:shared,ro"]),
        ),
        (
            "ports: ['8080:80']",
            "/HostConfig/PortBindings",
            json!({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ),
    ] {
        let body = if yaml.starts_with("image") {
            format!("{{{yaml}}}")
        } else {
            format!("{{image: i, {yaml}}}")
        };
        let converted = converted(&body);
        assert!(
            converted.problems.is_empty(),
            "{yaml}: {:?}",
            converted.problems
        );
        let request = serde_json::to_value(converted.request.unwrap()).unwrap();
        assert_eq!(request.pointer(pointer), Some(&want), "{yaml}");
    }
}

#[test]
fn nonsense_is_reported_and_the_container_still_made() {
    for (yaml, key) in [
        ("mem_limit: lots", "mem_limit"),
        ("restart: sometimes", "restart"),
        ("ports: ['http']", "ports"),
        ("volumes: ['./a:/b']", "volumes"),
        ("volumes: ['/a:b']", "volumes"),
        ("ulimits: {nofile: [1]}", "ulimits.nofile"),
        ("stop_grace_period: soon", "stop_grace_period"),
        ("cpus: many", "cpus"),
        ("cpus: 1, cpu_quota: 50000", "cpus"),
        ("ports: [{published: 80}]", "ports"),
        ("volumes: [{type: bind, source: a, target: /b}]", "volumes"),
        ("volumes: [{type: npipe, target: /b}]", "volumes"),
        ("volumes_from: ['all-volumes:x']", "volumes_from"),
        ("depends_on: [[a]]", "depends_on"),
    ] {
        let converted = converted(&format!("{{image: i, {yaml}}}"));
        assert!(converted.request.is_some(), "{yaml}");
        assert_eq!(converted.problems.len(), 1, "{yaml}");
        assert_eq!(
            converted.problems[0].key,
            format!("rancher.services.svc.{key}")
        );
        assert_eq!(converted.problems[0].at.to_string(), "t.yml:1:22", "{yaml}");
    }
}

#[test]
fn a_service_without_an_image_has_no_request() {
    let converted = converted("{command: x}");
    assert!(converted.request.is_none());
    assert_eq!(converted.problems.len(), 1);
}

#[test]
fn holders_of_volumes_are_what_this_system_has_of_them() {
    let converted = converted("{image: i, volumes_from: [all-volumes]}");
    let host = converted.request.unwrap().host_config;
    assert!(host.volumes_from.is_empty());
    for bind in ["/dev:/host/dev", "/home:/home", "/run:/var/run:rslave"] {
        assert!(host.binds.iter().any(|known| known == bind), "{bind}");
    }
    let said = converted.problems[0].to_string();
    assert!(
        said.contains("/usr/bin/ros") && said.contains("/etc/logrotate.d"),
        "{said}"
    );
    assert!(!host.binds.iter().any(|bind| bind.contains("logrotate")));
}

/// A service of that name is what is meant.
#[test]
fn a_service_with_the_name_of_a_holder_is_not_hidden() {
    let converted = converted("{image: i, volumes_from: [user-volumes]}, user-volumes: {image: i}");
    let host = converted.request.unwrap().host_config;
    assert_eq!(host.volumes_from, ["user-volumes"]);
    assert!(host.binds.is_empty());
}
