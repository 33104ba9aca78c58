//! dockerd's command line from `rancher.docker.*` (RancherOS's `config/docker_config.go`).

use std::collections::BTreeSet;

use config::Docker;

/// Keys of the user's daemon.json, by dockerd's names of the options. dockerd refuses to start when an option stands
/// both there and on its command line, so the file wins.
pub(super) fn daemon_json_keys(text: &str) -> BTreeSet<String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(map)) => map.keys().cloned().collect(),
        // dockerd reports a file that does not read; it is not hidden here.
        _ => BTreeSet::new(),
    }
}

/// The arguments; options that stand in daemon.json are left out.
pub(super) fn arguments(docker: &Docker, in_file: &BTreeSet<String>) -> Vec<String> {
    let mut builder = Builder {
        in_file,
        arguments: Vec::new(),
    };
    builder.text("bip", "bip", docker.bip.as_ref());
    builder.text("bridge", "bridge", docker.bridge.as_ref());
    builder.text("config-file", "", docker.config_file.as_ref());
    builder.text("containerd", "containerd", docker.containerd.as_ref());
    builder.text(
        "data-root",
        "data-root",
        docker.data_root.as_ref().or(docker.graph.as_ref()),
    );
    builder.text("exec-root", "exec-root", docker.exec_root.as_ref());
    builder.text("group", "group", docker.group.as_ref());
    builder.text("log-driver", "log-driver", docker.log_driver.as_ref());
    builder.text("mtu", "mtu", docker.mtu.map(|mtu| mtu.to_string()).as_ref());
    builder.text("pidfile", "pidfile", docker.pid_file.as_ref());
    builder.text(
        "storage-driver",
        "storage-driver",
        docker.storage_driver.as_ref(),
    );
    builder.list("host", "hosts", &docker.host);
    builder.list(
        "insecure-registry",
        "insecure-registries",
        &docker.insecure_registry,
    );
    builder.list("storage-opt", "storage-opts", &docker.storage_opts);
    builder.list(
        "registry-mirror",
        "registry-mirrors",
        &docker.registry_mirror,
    );
    let log_opts: Vec<String> = docker
        .log_opts
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
        .collect();
    // The options belong to the driver: with its own driver, the file has its own options too.
    if !in_file.contains("log-driver") {
        builder.list("log-opt", "log-opts", &log_opts);
    }
    builder.switch("debug", "debug", docker.debug);
    builder.switch("live-restore", "live-restore", docker.live_restore);
    builder.switch("userland-proxy", "userland-proxy", docker.userland_proxy);
    if docker.userns_enabled == Some(true) {
        builder.text(
            "userns-remap",
            "userns-remap",
            Some(&"user-docker:user-docker".to_owned()),
        );
    }
    if docker.tls == Some(true) {
        builder.arguments.extend(docker.tls_args.iter().cloned());
    }
    builder.arguments.extend(docker.extra_args.iter().cloned());
    builder.arguments
}

struct Builder<'f> {
    in_file: &'f BTreeSet<String>,
    arguments: Vec<String>,
}

impl Builder<'_> {
    fn text(&mut self, option: &str, key: &str, value: Option<&String>) {
        if let Some(value) = value.filter(|value| !value.is_empty() && !self.in_file.contains(key))
        {
            self.arguments.push(format!("--{option}={value}"));
        }
    }

    fn list(&mut self, option: &str, key: &str, values: &[String]) {
        if !self.in_file.contains(key) {
            let values = values.iter().filter(|value| !value.is_empty());
            self.arguments
                .extend(values.map(|value| format!("--{option}={value}")));
        }
    }

    fn switch(&mut self, option: &str, key: &str, value: Option<bool>) {
        if let Some(value) = value.filter(|_| !self.in_file.contains(key)) {
            self.arguments.push(format!("--{option}={value}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments_of(docker: &str, daemon_json: &str) -> String {
        let text = format!("rancher: {{docker: {{{docker}}}}}");
        let source = config::Source {
            name: "t",
            text: &text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        arguments(
            &loaded.config.rancher.docker,
            &daemon_json_keys(daemon_json),
        )
        .join(" ")
    }

    #[test]
    fn keys_become_options() {
        for (docker, want) in [
            ("", ""),
            ("storage_driver: overlay2", "--storage-driver=overlay2"),
            ("graph: /a", "--data-root=/a"),
            ("graph: /a, data_root: /b", "--data-root=/b"),
            (
                "host: ['unix:///x', 'tcp://1']",
                "--host=unix:///x --host=tcp://1",
            ),
            (
                "log_opts: {max-size: 25m, max-file: 2}",
                "--log-opt=max-file=2 --log-opt=max-size=25m",
            ),
            ("registry_mirror: 'http://m'", "--registry-mirror=http://m"),
            (
                "insecure_registry: [a, b]",
                "--insecure-registry=a --insecure-registry=b",
            ),
            ("userland_proxy: false", "--userland-proxy=false"),
            (
                "bip: 10.0.0.1/16, mtu: 1400",
                "--bip=10.0.0.1/16 --mtu=1400",
            ),
            ("tls_args: [--tlsverify]", ""),
            ("tls: true, tls_args: [--tlsverify]", "--tlsverify"),
            (
                "extra_args: [--default-ulimit, nofile=1]",
                "--default-ulimit nofile=1",
            ),
        ] {
            assert_eq!(arguments_of(docker, ""), want, "{docker}");
        }
    }

    #[test]
    fn what_stands_in_daemon_json_is_not_given_twice() {
        let docker = "graph: /a, log_driver: json-file, log_opts: {max-size: 1m}, live_restore: true, insecure_registry: [a]";
        let file = r#"{"data-root": "/b", "log-driver": "journald", "live-restore": false, "insecure-registries": []}"#;
        assert_eq!(arguments_of(docker, file), "");
        assert!(arguments_of(docker, "{ broken").contains("--data-root=/a"));
    }
}
