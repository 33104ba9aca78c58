//! Many upgrades under load: nothing is lost, nothing comes twice, nothing accumulates.

use std::collections::BTreeMap;
use std::path::Path;

use engine_api::client::AttachQuery;
use engine_api::{EventMessage, Filters, HealthConfig, NetworkCreate, PortBinding, PortMap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::containers::{COUNT, restarting, script};
use crate::fixture::{Engine, Test, until};

pub(crate) const TESTS: &[Test] = &[
    ("fifty_upgrades_lose_no_child_and_no_line", || {
        Box::pin(upgrades(50))
    }),
    (SLOW, || Box::pin(upgrades(1000))),
    ("an_upgrade_keeps_input_names_and_history", || {
        Box::pin(input_names_and_history())
    }),
    ("an_upgrade_waits_for_a_stop_or_is_refused", || {
        Box::pin(waits_for_a_stop())
    }),
];

/// The same, longer: run with `--ignored`.
pub(crate) const SLOW: &str = "thousand_upgrades_lose_no_child_and_no_line";
/// Descriptors are counted after so many upgrades and at the end.
const FIRST_COUNT: usize = 5;
/// Health probes follow each other closely, so that upgrades meet them in every state.
const PROBE_INTERVAL_NS: i64 = 200_000_000;
/// Those that run from the first to the last upgrade.
const LASTING: [&str; 4] = ["counter", "terminal", "silent", "probed"];

async fn upgrades(count: usize) {
    let engine = Engine::start().await;
    start_lasting(&engine).await;
    let pids = pids(&engine).await;
    let exec = engine
        .begin_exec(
            "counter",
            "while [ ! -e /go ]; do usleep 20000; done; exit 7",
        )
        .await;
    let mut descriptors = 0;
    for round in 1..=count {
        // They end before, while or after the program is replaced.
        let code = i64::try_from(round % 100).unwrap();
        let ending = format!("ending-{round}");
        let pause = (round * 7919) % 60_000;
        let mut request = script(&format!("usleep {pause}; echo end; exit {code}"));
        request.host_config.auto_remove = round % 5 == 0;
        engine.run(&ending, request).await;
        let status = engine.upgrade(None).await.unwrap();
        assert_eq!(status.generation, i64::try_from(round).unwrap());
        assert_eq!(status.last_upgrade.unwrap().outcome, "done");
        check_end(&engine, &ending, code, round % 5 == 0).await;
        if round == FIRST_COUNT {
            descriptors = engine.descriptors().await;
        }
    }
    let at_the_end = engine.descriptors().await;
    assert!(at_the_end <= descriptors, "{descriptors} -> {at_the_end}");
    assert_eq!(self::pids(&engine).await, pids, "a process was replaced");
    until("all children are reaped", || async {
        (engine.zombies() == 0).then_some(())
    })
    .await;
    for name in ["counter", "terminal"] {
        let lines = engine.check_count(name).await;
        assert!(lines > count, "{name} wrote {lines} lines");
    }
    check_restarts(&engine).await;
    check_probes(&engine).await;
    assert_eq!(engine.exec("counter", "true > /go").await, 0);
    assert_eq!(engine.exec_code(&exec).await, 7);
}

async fn start_lasting(engine: &Engine) {
    engine.run("counter", script(COUNT)).await;
    let mut terminal = script(COUNT);
    terminal.config.tty = true;
    engine.run("terminal", terminal).await;
    engine.run("silent", script("exec sleep 100000")).await;
    let mut probed = script("exec sleep 100000");
    probed.config.healthcheck = Some(HealthConfig {
        test: ["CMD-SHELL", "usleep 50000"].map(str::to_owned).to_vec(),
        interval: PROBE_INTERVAL_NS,
        ..HealthConfig::default()
    });
    engine.run("probed", probed).await;
    let again = restarting(script("echo run; usleep 150000; exit 3"));
    engine.run("again", again).await;
}

async fn pids(engine: &Engine) -> BTreeMap<&'static str, i32> {
    let mut pids = BTreeMap::new();
    for name in LASTING {
        let pid = engine.pid_of(name).await;
        assert!(pid > 0, "{name} does not run");
        pids.insert(name, pid);
    }
    pids
}

/// A container that ended around an upgrade has its own exit code and its last line, or is gone when it asked for that.
async fn check_end(engine: &Engine, name: &str, code: i64, removed: bool) {
    until("the container ends", || async {
        match engine.client.container_inspect(name, false).await {
            Err(error) if error.is_not_found() => {
                assert!(removed, "{name} is gone");
                Some(())
            }
            result => {
                let state = result.unwrap().state;
                (!state.running && !removed).then(|| {
                    assert_eq!(i64::from(state.exit_code), code, "{name}");
                })
            }
        }
    })
    .await;
    if !removed {
        assert_eq!(engine.logs(name).await.0, "end\n", "{name}");
        engine
            .client
            .container_remove(name, false, false)
            .await
            .unwrap();
    }
}

/// One line for each run: the restarts that are counted are those that happened.
async fn check_restarts(engine: &Engine) {
    engine
        .client
        .container_stop("again", None, Some(0))
        .await
        .unwrap();
    let (stdout, _) = engine.logs("again").await;
    let runs = i64::try_from(stdout.lines().count()).unwrap();
    let inspect = engine.inspect("again").await;
    assert_eq!(inspect.restart_count, runs - 1);
    assert!(runs > 1, "it was never restarted");
}

/// Probes go on after the last upgrade, and not one has failed on the way.
async fn check_probes(engine: &Engine) {
    let last = async || {
        let health = engine.inspect("probed").await.state.health.unwrap();
        assert_eq!(
            (health.status.as_str(), health.failing_streak),
            ("healthy", 0)
        );
        health.log.last().unwrap().start.clone()
    };
    let first = last().await;
    until("another probe", || async {
        (last().await > first).then_some(())
    })
    .await;
}

async fn input_names_and_history() {
    let engine = Engine::start().await;
    let mut reader = script("exec cat");
    reader.config.open_stdin = true;
    engine.run("reader", reader).await;
    let network = NetworkCreate {
        name: "names".to_owned(),
        ..NetworkCreate::default()
    };
    engine.client.network_create(&network).await.unwrap();
    let mut named = script("echo served > /page; exec httpd -f -p 80 -h /");
    named.host_config.network_mode = "names".to_owned();
    named.host_config.port_bindings = published("80/tcp", "18080");
    engine.run("named", named).await;
    served("before").await;
    assert_eq!(engine.exec("named", "nslookup named").await, 0, "before");
    let before = history(&engine).await;
    assert!(before.iter().any(|event| event.action == "start"));
    let helper = engine.network_helper();
    assert!(helper.is_some(), "names are served by a child");
    // A candidate that is refused must not cost the engine what it shows it.
    let refused = engine.upgrade(Some(Path::new("/bin/true"))).await;
    assert_eq!(refused.unwrap_err().status, 400);
    for _ in 0..2 {
        engine.upgrade(None).await.unwrap();
    }
    assert_eq!(engine.network_helper(), helper, "it goes on");
    assert_eq!(engine.exec("named", "nslookup named").await, 0, "after");
    served("after").await;
    let after = history(&engine).await;
    assert_eq!(after[..before.len()], before[..]);
    let query = AttachQuery {
        stream: true,
        stdin: true,
        ..AttachQuery::default()
    };
    let mut session = engine
        .client
        .container_attach("reader", &query)
        .await
        .unwrap();
    session.io.write_all(b"typed\n").await.unwrap();
    until("the line is in the log", || async {
        (engine.logs("reader").await.0 == "typed\n").then_some(())
    })
    .await;
}

fn published(port: &str, host_port: &str) -> PortMap {
    let binding = PortBinding {
        host_ip: "127.0.0.1".to_owned(),
        host_port: host_port.to_owned(),
    };
    PortMap::from([(port.to_owned(), Some(vec![binding]))])
}

/// The published port answers.
async fn served(when: &str) {
    let request = async || -> std::io::Result<String> {
        let mut stream = TcpStream::connect("127.0.0.1:18080").await?;
        stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = until(&format!("the page is served {when}"), || async {
        request().await.ok().filter(|answer| !answer.is_empty())
    })
    .await;
    assert!(answer.ends_with("served\n"), "{when}: {answer}");
}

async fn history(engine: &Engine) -> Vec<EventMessage> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let filters = Filters::default().with("type", "container");
    let events = engine
        .client
        .events(Some("0"), Some(&until), &filters)
        .await;
    let mut events = events.unwrap();
    let mut all = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        all.push(event);
    }
    all
}

async fn waits_for_a_stop() {
    let engine = Engine::start().await;
    engine
        .run(
            "stubborn",
            script("trap '' TERM; echo ready; while :; do usleep 20000; done"),
        )
        .await;
    until("it ignores SIGTERM", || async {
        (engine.logs("stubborn").await.0 == "ready\n").then_some(())
    })
    .await;
    let client = engine.client.clone();
    let stop = engine_api::tasks::spawn(async move {
        client.container_stop("stubborn", None, Some(1000)).await
    });
    until("the stop has begun", || async {
        let events = history(&engine).await;
        events
            .iter()
            .any(|event| event.action == "kill")
            .then_some(())
    })
    .await;
    let refused = engine
        .client
        .engine_upgrade(engine_api::body::Body::Empty, Some(0))
        .await
        .unwrap_err();
    assert_eq!(refused.status, 409);
    assert!(
        refused.message.contains("/containers/stubborn/stop"),
        "{refused}"
    );
    engine
        .client
        .container_kill("stubborn", None)
        .await
        .unwrap();
    stop.await.unwrap().unwrap();
    assert_eq!(engine.upgrade(None).await.unwrap().generation, 1);
}
