//! Flags as they reach the engine.

use clap::{CommandFactory as _, Parser as _};

use super::*;
use crate::arguments::{Arguments, Verb};

fn request(flags: &[&str]) -> anyhow::Result<CreateRequest> {
    let line = ["system-docker", "create"];
    let line = line.iter().chain(flags).chain(&["busybox"]);
    match Arguments::try_parse_from(line)?.verb {
        Verb::Create(create) => create.request(false),
        verb => bail!("{verb:?}"),
    }
}

#[test]
fn no_flag_has_two_meanings() {
    Arguments::command().debug_assert();
}

#[test]
fn flags_end_at_the_image() {
    let line = [
        "system-docker",
        "run",
        "-c",
        "2",
        "busybox",
        "-c",
        "true",
        "--rm",
    ];
    let Verb::Run(run) = Arguments::try_parse_from(line).unwrap().verb else {
        panic!("not run");
    };
    let request = run.create.request(false).unwrap();
    assert_eq!(request.config.image, "busybox");
    assert_eq!(request.config.cmd.unwrap(), ["-c", "true", "--rm"]);
    assert!(!request.host_config.auto_remove);
    let error = self::request(&["--colour"]).unwrap_err();
    assert_eq!(error.to_string(), "unknown flag: --colour");
}

#[test]
fn ports_are_published_and_exposed() {
    let flags = [
        "-p",
        "8000-8001:80-81",
        "-p",
        "53:53/udp",
        "--expose",
        "90-91/tcp",
    ];
    let request = request(&flags).unwrap();
    let published: Vec<&String> = request.host_config.port_bindings.keys().collect();
    assert_eq!(published, ["53/udp", "80/tcp", "81/tcp"]);
    let exposed: Vec<&String> = request.config.exposed_ports.keys().collect();
    assert_eq!(exposed, ["53/udp", "80/tcp", "81/tcp", "90/tcp", "91/tcp"]);
}

#[test]
fn a_health_check_is_the_images_or_ones_own_or_none() {
    assert_eq!(request(&[]).unwrap().config.healthcheck, None);
    let own = request(&["--health-cmd", "true", "--health-interval", "5s"]).unwrap();
    let own = own.config.healthcheck.unwrap();
    assert_eq!(own.test, ["CMD-SHELL", "true"]);
    assert_eq!(own.interval, 5_000_000_000);
    let only_times = request(&["--health-retries", "3"]).unwrap();
    assert!(only_times.config.healthcheck.unwrap().test.is_empty());
    let none = request(&["--no-healthcheck"]).unwrap();
    assert_eq!(none.config.healthcheck.unwrap().test, ["NONE"]);
    assert!(request(&["--no-healthcheck", "--health-cmd", "true"]).is_err());
}

#[test]
fn an_endpoint_is_described_when_a_flag_does() {
    let plain = request(&["--network", "mine"]).unwrap();
    assert!(plain.networking_config.endpoints_config.is_empty());
    let flags = [
        "--network",
        "mine",
        "--network-alias",
        "db",
        "--ip",
        "10.9.0.5",
    ];
    let request = request(&flags).unwrap();
    let endpoint = &request.networking_config.endpoints_config["mine"];
    assert_eq!(endpoint.aliases, Some(vec!["db".to_owned()]));
    let addresses = endpoint.ipam_config.as_ref().unwrap();
    assert_eq!(addresses.ipv4_address, "10.9.0.5");
}

#[test]
fn limits_reach_the_host() {
    let flags = [
        "-m",
        "64m",
        "--memory-swap",
        "-1",
        "-c",
        "512",
        "--cpuset-cpus",
        "0-1",
        "--oom-score-adj",
        "-5",
    ];
    let host = request(&flags).unwrap().host_config;
    assert_eq!((host.memory, host.memory_swap), (64 << 20, -1));
    assert_eq!((host.cpu_shares, host.cpuset_cpus.as_str()), (512, "0-1"));
    assert_eq!(host.oom_score_adj, -5);
}

#[test]
fn wrong_flags_are_named() {
    for (flags, words) in [
        (
            &["--rm", "--restart", "always"] as &[&str],
            "--restart and --rm",
        ),
        (&["-p", "80:http"], "--publish 80:http"),
        (
            &["--expose", "1:2"],
            "invalid port format for --expose: 1:2",
        ),
        (&["--env-file", "/nowhere"], "--env-file /nowhere"),
        (&["--health-timeout", "soon"], "--health-timeout soon"),
    ] {
        let error = request(flags).unwrap_err().to_string();
        assert!(error.contains(words), "{flags:?}: {error}");
    }
}

#[test]
fn only_the_named_streams_are_attached() {
    let streams = |flags: &[&str]| {
        let config = request(flags).unwrap().config;
        [
            config.attach_stdin,
            config.attach_stdout,
            config.attach_stderr,
            config.stdin_once,
        ]
    };
    assert_eq!(streams(&[]), [false, true, true, false]);
    assert_eq!(streams(&["-i"]), [true, true, true, true]);
    assert_eq!(streams(&["-a", "STDERR"]), [false, false, true, false]);
    let both = ["-i", "-a", "stdin", "-a", "stdout"];
    assert_eq!(streams(&both), [true, true, false, true]);
    let line = ["system-docker", "run", "-d", "-a", "stdin", "busybox"];
    let Verb::Run(run) = Arguments::try_parse_from(line).unwrap().verb else {
        panic!("not run");
    };
    let error = run.create.request(run.detach).unwrap_err().to_string();
    assert!(error.contains("--attach and --detach"), "{error}");
}

#[test]
fn a_seccomp_profile_is_the_content_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("profile.json");
    std::fs::write(&path, "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n").unwrap();
    let flag = format!("seccomp={}", path.display());
    let host = request(&[
        "--security-opt",
        &flag,
        "--security-opt",
        "systempaths=unconfined",
    ])
    .unwrap()
    .host_config;
    assert_eq!(
        host.security_opt.unwrap(),
        ["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"]
    );
    assert_eq!(host.masked_paths.unwrap(), Vec::<String>::new());
    assert_eq!(host.readonly_paths.unwrap(), Vec::<String>::new());
    for (option, words) in [
        (
            "seccomp=/nonexistent",
            "opening seccomp profile (/nonexistent) failed",
        ),
        (
            "seccomp=/dev/null",
            "compacting json for seccomp profile (/dev/null) failed",
        ),
        ("seccomp", "invalid --security-opt: \"seccomp\""),
        ("systempaths=1", "invalid --security-opt: \"systempaths=1\""),
    ] {
        let error = request(&["--security-opt", option]).unwrap_err();
        assert!(error.to_string().starts_with(words), "{option}: {error}");
    }
    let host = request(&["--security-opt", "apparmor:own"])
        .unwrap()
        .host_config;
    assert_eq!(host.security_opt.unwrap(), ["apparmor:own"]);
    assert!(host.masked_paths.is_none());
}
