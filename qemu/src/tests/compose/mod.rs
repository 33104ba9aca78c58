//! Stock docker compose against PID 1. The program is Debian's, brought along by the test.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::artifacts::Artifacts;
use crate::context::{Context, shared_with};
use crate::guest::Guest;

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared_with(
            context,
            "compose_brings_a_stack_up_in_order_and_down_again",
            brings_a_stack_up,
        ),
        shared_with(
            context,
            "compose_scales_pauses_and_restarts_services",
            scales_and_pauses,
        ),
    ]
}

/// The stack's ports and names are for one test at a time.
static TURN: Mutex<()> = Mutex::new(());

const STACK: &str = include_str!("stack.yml");
/// Where the program and the stack are in the guest: a place that console and host share, for bind mounts.
const FOLDER: &str = "/home/rancher/compose";

/// A stack in the guest that is taken down when the test ends, however it ends.
struct Stack<'a> {
    guest: &'a Guest,
    compose: String,
}

impl<'a> Stack<'a> {
    fn new(artifacts: &Artifacts, guest: &'a Guest) -> anyhow::Result<Stack<'a>> {
        guest.run(&format!("mkdir -p {FOLDER}"))?;
        let program = format!("{FOLDER}/docker-compose");
        if guest.ssh.answer(&format!("test -x {program}"))?.code != 0 {
            guest
                .ssh
                .send_program(&artifacts.client("docker-compose")?, &program)?;
        }
        guest.run(&format!(
            "cd {FOLDER} && echo secret > token && echo page > page && cat > stack.yml <<'END'\n{STACK}END"
        ))?;
        let image = guest.run("system-docker inspect -f '{{.Config.Image}}' syslog")?;
        let compose = format!(
            "cd {FOLDER} && IMAGE={image} DOCKER_HOST=unix:///var/run/system-docker.sock ./docker-compose --progress quiet -f stack.yml"
        );
        Ok(Stack { guest, compose })
    }

    fn run(&self, rest: &str) -> anyhow::Result<String> {
        self.guest.run(&format!("{} {rest}", self.compose))
    }

    /// Runs a command in a service.
    fn exec(&self, service: &str, command: &str) -> anyhow::Result<String> {
        self.run(&format!("exec -T {service} sh -c '{command}'"))
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        // The test has said already what is wrong.
        let _ = self.run("--profile debug down -v -t 1 --remove-orphans");
    }
}

fn brings_a_stack_up(artifacts: &Artifacts, guest: &Guest) -> anyhow::Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::new(artifacts, guest)?;
    stack.run("up -d --wait --wait-timeout 120")?;
    let states =
        stack.run("ps -a --format '{{.Service}}={{.State}}{{.Health}}' | sort | tr '\\n' ' '")?;
    ensure!(
        states == "seed=exited store=runninghealthy web=running worker=running",
        "after up: {states}"
    );
    ensure!(
        guest.run("wget -q -O - http://127.0.0.1:18080/")? == "page",
        "published port"
    );
    ensure!(stack.run("port web 80")? == "127.0.0.1:18080", "port");
    ensure!(
        stack.exec("web", "cat /run/secrets/token")? == "secret",
        "secret"
    );
    ensure!(stack.exec("web", "echo $MODE")? == "test", "environment");
    ensure!(
        stack.exec(
            "web",
            "touch /file 2>/dev/null || touch /scratch/file && echo sealed"
        )? == "sealed",
        "read-only root with a tmpfs"
    );
    ensure!(
        stack.exec(
            "web",
            "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
        )? == "67108864\n50",
        "limits"
    );
    ensure!(
        stack.exec(
            "worker",
            "busybox wget -q -O - http://store:8080/index.html"
        )? == "seeded",
        "service name"
    );
    guest.ssh.run_until(
        &format!(
            "{} logs --no-log-prefix worker | grep -q seeded",
            stack.compose
        ),
        std::time::Duration::from_secs(30),
    )?;
    ensure!(stack.run("top web")?.contains("httpd"), "top");
    stack.run("--profile debug up -d tool")?;
    ensure!(
        stack.run("--profile debug exec -T tool busybox wget -q -O - http://127.0.0.1/")? == "page",
        "a profile's service in another one's network"
    );
    stack.run("--profile debug down -v -t 1")?;
    let left = guest.run(
        "for what in 'ps -a' 'volume ls' 'network ls'; do docker -H unix:///var/run/system-docker.sock $what -q \
         --filter label=com.docker.compose.project=stack; done",
    )?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

fn scales_and_pauses(artifacts: &Artifacts, guest: &Guest) -> anyhow::Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::new(artifacts, guest)?;
    stack.run("up -d --scale worker=3 store worker")?;
    let count = |state: &str| -> anyhow::Result<usize> {
        Ok(stack
            .run(&format!("ps -q --status {state} worker"))?
            .lines()
            .count())
    };
    ensure!(count("running")? == 3, "scaled to 3");
    stack.run("pause worker")?;
    ensure!(count("paused")? == 3, "paused");
    stack.run("unpause worker")?;
    ensure!(count("running")? == 3, "unpaused");
    let events = format!(
        "{} events --json worker > {FOLDER}/events 2>/dev/null & sleep 2; {} restart -t 1 worker; sleep 1; pkill -x docker-compose; cat {FOLDER}/events",
        stack.compose, stack.compose
    );
    let events = guest.run(&events)?;
    for action in ["\"die\"", "\"start\"", "\"restart\""] {
        ensure!(events.contains(action), "no event {action} in {events}");
    }
    ensure!(count("running")? == 3, "restarted");
    stack.run("up -d --scale worker=1 --no-recreate store worker")?;
    ensure!(count("running")? == 1, "scaled to 1");
    ensure!(
        stack.run("run --rm -T --no-deps --entrypoint echo worker said")? == "said",
        "run"
    );
    stack.run("kill worker")?;
    ensure!(stack.run("ps -q worker")?.is_empty(), "killed");
    Ok(())
}
