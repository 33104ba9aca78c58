//! The server with a whole engine behind it.

use engine::{Engine, EngineOptions};
use tokio::net::UnixListener;

use super::{Server, run};

/// Runs a test against the API of a whole engine in its own network, which takes root.
fn with_engine(name: &str, test: impl AsyncFnOnce(&Server) + Send) {
    let host = sys::netlink::new_netns().unwrap();
    let cgroup = format!("test-{name}-{}", std::process::id());
    let engine_lives = || {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let mut options =
                EngineOptions::new(directory.path().join("root"), directory.path().join("run"));
            options.cgroup_parent.clone_from(&cgroup);
            let engine = Engine::new(options).await.unwrap();
            let path = directory.path().join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            engine_api::tasks::spawn(crate::serve(engine, listener));
            let server = Server {
                path,
                _directory: directory,
            };
            test(&server).await;
        });
    };
    sys::netlink::in_netns(std::os::fd::AsFd::as_fd(&host), engine_lives).unwrap();
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        // Only one of them is a cgroup v2 tree.
        let _ = std::fs::remove_dir(format!("{root}/{cgroup}"));
    }
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn panics_of_a_whole_engine_are_contained_and_counted() {
    with_engine("panics", async |server| {
        for path in ["/panic", "/panic/detached"] {
            let answer = server.ask("GET", path).await;
            assert!(answer.starts_with("HTTP/1.1 500"), "{path}: {answer}");
            let ping = server.ask("GET", "/_ping").await;
            assert!(ping.ends_with("OK"), "after {path}");
        }
        let info = server.ask("GET", "/info").await;
        let (before, _) = info
            .split_once(" panics of API handlers were contained")
            .unwrap();
        // Tests that run next to this one panic too: the count is the process's.
        let count: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(count >= 2, "{count}");
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn each_prune_is_an_event() {
    with_engine("prune", async |server| {
        for kind in ["container", "image", "network", "volume"] {
            let answer = server.ask("POST", &format!("/{kind}s/prune")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{kind}: {answer}");
            // Until now: all that happened, then the end.
            let path = format!(
                "/events?since=1&until=0s&filters={{%22type%22:[%22{kind}%22],%22event%22:[%22prune%22]}}"
            );
            let events = server.ask("GET", &path).await;
            assert!(events.contains(r#""reclaimed":"0""#), "{kind}: {events}");
            // 0 is a time as any other, not "from now on".
            let all = server.ask("GET", &path.replace("since=1", "since=0")).await;
            assert!(all.contains(r#""reclaimed":"0""#), "{kind}: {all}");
        }
    });
}

/// cAdvisor wants one version of three numbers and no older than 1.0.0, minikube numbers only and no colon after them.
#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn the_version_is_docker_s_and_ours_is_beside_it() {
    with_engine("version", async |server| {
        let body = |answer: String| -> serde_json::Value {
            serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        let version = body(server.ask("GET", "/version").await);
        let info = body(server.ask("GET", "/info").await);
        let own = env!("CARGO_PKG_VERSION");
        for text in [&version["Version"], &info["ServerVersion"]] {
            let numbers: Vec<u32> = text
                .as_str()
                .unwrap()
                .split('.')
                .map(|number| number.parse().unwrap())
                .collect();
            assert!(numbers.len() == 3 && numbers[0] >= 26, "{text}");
        }
        let platform = version["Platform"]["Name"].as_str().unwrap();
        assert_eq!(platform, format!("RancherOS System Docker {own}"));
        let components = version["Components"].as_array().unwrap();
        assert_eq!(components[0]["Name"], "Engine");
        assert_eq!(components[0]["Version"], version["Version"]);
        assert_eq!(components[1]["Version"], own);
        let label = format!("io.rancher.system-docker.version={own}");
        assert_eq!(info["Labels"], serde_json::json!([label]));
    });
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn targets_are_read_as_docker_reads_them() {
    with_engine("targets", async |server| {
        let raw = r#"/images/json?filters={"dangling":["true"]}"#;
        let answer = server.ask("GET", raw).await;
        assert!(answer.ends_with("\r\n\r\n[]\n"), "{answer}");
        // Scripts look for headers in Go's case.
        for header in ["Content-Type: application/json", "Api-Version: 1.45"] {
            assert!(answer.contains(header), "{answer}");
        }
        let answer = server
            .ask("POST", "/v1.41//containers/./create?name=a")
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 301 Moved Permanently"),
            "{answer}"
        );
        assert!(
            answer.contains("Location: /v1.41/containers/create?name=a\r\n"),
            "{answer}"
        );
    });
}

/// Clients of languages in which nothing is null send it where they have nothing to say.
#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn null_is_a_body_without_wishes() {
    with_engine("null", async |server| {
        let nobody = "No such container: none";
        let unnamed = "invalid name or ID supplied";
        for (path, status, words) in [
            ("/containers/create", 400, "config cannot be empty"),
            ("/containers/none/update", 404, nobody),
            ("/containers/none/exec", 400, "No exec command specified"),
            ("/exec/none/start", 404, "No such exec instance: none"),
            ("/volumes/create", 201, "com.docker.volume.anonymous"),
            ("/networks/create", 400, "invalid name: "),
            ("/networks/bridge/connect", 400, unnamed),
            ("/networks/bridge/disconnect", 400, unnamed),
            // There is no worker here, which would do the rest.
            ("/auth", 500, "worker"),
        ] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull"
            );
            let answer = server.talk(request.as_bytes()).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{path}: {answer}");
            assert!(answer.contains(words), "{path}: {answer}");
        }
    });
}
