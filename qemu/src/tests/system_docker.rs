//! System Docker, driven by its own client and by the stock one.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, shared};
use crate::guest::{BOOT_DEADLINE, Guest, SERVICES};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "system_docker_answers_the_stock_client",
            answers_the_stock_client,
        ),
        shared(
            context,
            "system_docker_runs_containers_for_the_stock_client",
            runs_containers_for_the_stock_client,
        ),
        shared(
            context,
            "system_docker_client_has_dockers_verbs",
            client_has_dockers_verbs,
        ),
        shared(
            context,
            "system_docker_client_copies_files_as_docker_does",
            copies_files,
        ),
        shared(
            context,
            "system_docker_client_passes_signals_and_detaches",
            client_passes_signals_and_detaches,
        ),
        shared(
            context,
            "system_docker_loads_and_removes_images",
            loads_and_removes_images,
        ),
        shared(context, "system_docker_survives_garbage", survives_garbage),
        shared(
            context,
            "system_docker_follows_logs_to_their_end",
            follows_logs,
        ),
        shared(
            context,
            "system_docker_tells_of_memory_kills_as_docker_does",
            tells_of_memory_kills,
        ),
    ]
}

/// The stock docker client, on PID 1's socket.
const STOCK: &str = "docker -H unix:///var/run/system-docker.sock";

fn answers_the_stock_client(guest: &Guest) -> anyhow::Result<()> {
    for verb in [
        "version",
        "info",
        "ps -a",
        "images",
        "inspect console",
        "top console",
        "logs --tail 1 syslog",
        "network ls",
        "volume ls",
    ] {
        guest.run(&format!("{STOCK} {verb}"))?;
    }
    guest.wait_services(&SERVICES)?;
    // The label leaves out what other tests run at the same time.
    let names = guest.run(&format!(
        "{STOCK} ps --filter label=io.rancher.os.scope=system --format '{{{{.Names}}}}' | sort"
    ))?;
    ensure!(names.lines().eq(SERVICES), "the stock client lists {names}");
    Ok(())
}

fn runs_containers_for_the_stock_client(guest: &Guest) -> anyhow::Result<()> {
    let image = guest.run("system-docker inspect -f '{{.Config.Image}}' syslog")?;
    let run = |rest: &str| guest.run(&format!("{STOCK} {rest}"));
    ensure!(
        run(&format!("run --rm --entrypoint echo {image} hi"))? == "hi",
        "run --rm"
    );
    run(&format!(
        "run -d --name stock --entrypoint sleep {image} 100000"
    ))?;
    ensure!(run("exec stock echo inside")? == "inside", "exec");
    ensure!(
        run("exec -e WORD=said stock sh -c 'echo $WORD'")? == "said",
        "exec -e"
    );
    run("stop -t 1 stock")?;
    ensure!(
        run("wait stock")? == "137",
        "a sleep that ignores SIGTERM is killed"
    );
    run("start stock")?;
    run("kill stock")?;
    run("rm -f stock")?;
    ensure!(
        run("ps -aq --filter name=stock")?.is_empty(),
        "it is still there"
    );
    let code = guest
        .ssh
        .answer(&format!(
            "{STOCK} run --rm --entrypoint sh {image} -c 'exit 9'"
        ))?
        .code;
    ensure!(code == 9, "exit code {code}");
    let code = guest
        .ssh
        .answer(&format!(
            "{STOCK} run --rm --entrypoint /no/such/program {image}"
        ))?
        .code;
    ensure!(code == 127, "exit code {code} of a missing program");
    Ok(())
}

fn client_has_dockers_verbs(guest: &Guest) -> anyhow::Result<()> {
    let image = guest.run("system-docker inspect -f '{{.Config.Image}}' syslog")?;
    for verb in [
        "version",
        "info",
        "ps -a",
        "images",
        "top console",
        "system df --format '{{.Type}}: {{.Reclaimable}}'",
        "inspect -s -f '{{.SizeRw}}' console",
        "logs --tail 1 syslog",
    ] {
        guest.run(&format!("system-docker {verb}"))?;
    }
    ensure!(
        guest.run(&format!(
            "system-docker run --rm --entrypoint echo {image} hi"
        ))? == "hi",
        "run --rm"
    );
    guest.run(&format!(
        "system-docker run -d --name verbs --entrypoint sleep {image} 100000"
    ))?;
    ensure!(
        guest.run("system-docker exec verbs echo inside")? == "inside",
        "exec"
    );
    let foreign = guest.ssh.answer(&format!(
        "system-docker create --platform linux/s390x --pull never {image}"
    ))?;
    ensure!(
        foreign.code != 0
            && foreign
                .stderr
                .contains("does not match the specified platform"),
        "create --platform: {foreign:?}"
    );
    guest.run("system-docker restart -t 0 verbs && system-docker stop -t 0 verbs && system-docker start verbs")?;
    guest.run("system-docker rm -f verbs")?;
    let id = guest.run(&format!(
        "echo fed | system-docker run -i -a stdin --name fed --entrypoint cat {image}"
    ))?;
    ensure!(
        id.len() == 64,
        "with standard input alone, the id is shown: {id}"
    );
    let logs = guest.run("system-docker wait fed && system-docker logs fed")?;
    ensure!(logs == "0\nfed", "what it was fed: {logs}");
    guest.run("system-docker rm fed")?;
    let answer = guest
        .ssh
        .answer("echo | system-docker exec -it console true")?;
    ensure!(
        answer.code == 1 && answer.stderr.contains("not a TTY"),
        "a pipe is not a terminal: {answer:?}"
    );
    guest.run("system-docker volume create asked")?;
    let answer = guest
        .ssh
        .answer("echo n | system-docker volume prune --all")?;
    ensure!(
        answer.code == 1 && answer.stdout.contains("[y/N]"),
        "a prune asks: {answer:?}"
    );
    guest.run("system-docker volume inspect asked && system-docker volume rm asked")?;
    let answer = guest.ssh.answer("system-docker inspect verbs")?;
    ensure!(
        answer.code == 1 && answer.stderr.to_lowercase().contains("no such"),
        "inspect of nothing: {answer:?}"
    );
    Ok(())
}

/// `cp` by our client and by the stock one: the same names, whatever is in them and whatever is at the target.
fn copies_files(guest: &Guest) -> anyhow::Result<()> {
    let image = guest.run("system-docker inspect -f '{{.Config.Image}}' syslog")?;
    guest.run(&format!(
        "system-docker run -d --name copied --entrypoint sleep {image} 100000"
    ))?;
    let mut seen = Vec::new();
    for client in ["system-docker", STOCK] {
        let script = format!(
            "set -e; rm -rf /tmp/copied; mkdir -p /tmp/copied/tree/sub; cd /tmp/copied; \
             system-docker exec copied sh -c 'rm -rf /srv/* && mkdir -p /srv/there'; \
             echo one > tree/a; echo two > 'tree/sub/b&|c'; ln -s a tree/link; chmod 750 tree/sub; \
             {client} cp tree copied:/srv/new; {client} cp tree copied:/srv/there; {client} cp tree/. copied:/srv/there; \
             {client} cp tree/a 'copied:/srv/n&|w'; {client} cp -L tree/link copied:/srv; \
             {client} cp copied:/srv out; {client} cp copied:/srv/. out/there; {client} cp copied:/srv/new/a file; \
             {client} cp -L copied:/srv/new/link followed; {client} cp copied:/srv/new/link followed; \
             {client} cp copied:/srv/there - | {client} cp - copied:/srv/new; {client} cp copied:/srv/new again; \
             {client} cp copied:/ root; test -e root/etc/hostname; test -d root/proc; rm -rf root; \
             {client} cp copied:/srv file 2>&1 | grep -o 'cannot copy directory'; \
             {client} cp copied:/srv/new/a none/ 2>&1 | grep -o 'no such directory'; \
             find . ! -type l -exec stat -c '%n %A' {{}} + | sort; cat out/new/sub/b* 'out/n&|w' out/link; for l in out/new/link followed; do readlink $l; done"
        );
        seen.push(guest.run(&format!("sudo bash -c {}", quoted(&script)))?);
    }
    guest.run("system-docker rm -f copied")?;
    ensure!(
        seen[0] == seen[1],
        "ours:\n{}\nthe stock client:\n{}",
        seen[0],
        seen[1]
    );
    ensure!(
        seen[0].contains("./out/there/there/sub/b&|c -rw-r--r--")
            && seen[0].ends_with("two\none\none\na\na"),
        "what was copied: {}",
        seen[0]
    );
    Ok(())
}

/// A word for the shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn client_passes_signals_and_detaches(guest: &Guest) -> anyhow::Result<()> {
    let image = guest.run("system-docker inspect -f '{{.Config.Image}}' syslog")?;
    // The container closes its output before the signal: its client still has to pass that on, and to wait.
    let code = guest.run(&format!(
        "system-docker run --rm --entrypoint sh {image} -c \
            'trap \"exit 7\" TERM; echo ready; exec >&- 2>&-; while :; do sleep 0.1; done' > /tmp/signalled & \
        until grep -q ready /tmp/signalled; do sleep 0.1; done; \
        kill -TERM $!; wait $!; echo $?"
    ))?;
    ensure!(code == "7", "exit code {code} after SIGTERM to the client");

    let answer = guest.ssh.answer_typed(
        &format!(
            "system-docker run -it --name left --detach-keys x,y --entrypoint sh {image}; echo left $?"
        ),
        "xy",
    )?;
    ensure!(
        answer.stdout.contains("left 0"),
        "the keys that detach: {answer:?}"
    );
    let running = guest.run("system-docker inspect -f '{{.State.Running}}' left")?;
    ensure!(running == "true", "left, it runs: {running}");
    guest.run("system-docker rm -f left")?;

    let closed = guest
        .ssh
        .answer("system-docker ps | true; echo ${PIPESTATUS[0]}")?;
    ensure!(
        closed.stderr.is_empty(),
        "a closed pipe is not a panic: {closed:?}"
    );
    Ok(())
}

fn loads_and_removes_images(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    guest
        .run("docker save busybox -o /tmp/busybox.tar && system-docker load -i /tmp/busybox.tar")?;
    ensure!(
        guest.run("system-docker run --rm busybox echo loaded")? == "loaded",
        "the loaded image does not run"
    );
    guest.run(&format!("{STOCK} run --rm busybox true"))?;
    guest.run("system-docker rmi busybox")?;
    let left = guest.run("system-docker images -q busybox")?;
    ensure!(left.is_empty(), "still there: {left}");
    Ok(())
}

/// Bytes that are not HTTP, a huge header, a body that is not JSON, a client that leaves.
fn survives_garbage(guest: &Guest) -> anyhow::Result<()> {
    let socket = "sudo curl -s --max-time 10 --unix-socket /run/system-docker.sock";
    guest.run("head -c 100000 /dev/urandom | sudo timeout 10 nc -U /run/system-docker.sock >/dev/null 2>&1 || true")?;
    guest.run(&format!("{socket} -H \"x: $(head -c 60000 /dev/zero | tr '\\0' a)\" http://d/_ping >/dev/null || true"))?;
    guest.run(&format!("{socket} -X POST -H 'Content-Type: application/json' -d '{{{{{{' http://d/containers/create >/dev/null || true"))?;
    guest.run(&format!("{socket} http://d/v1.999/info >/dev/null; {socket} 'http://d/v1.41/containers/json?filters=%7B%22' >/dev/null || true"))?;
    let code = guest.run(&format!("{socket} -o /dev/null -w '%{{http_code}}' -X POST -H 'Content-Type: application/json' -d 'no json' http://d/containers/create"))?;
    ensure!(
        code == "400",
        "a body that is not JSON is answered with {code}"
    );
    guest.wait_services(&SERVICES)
}

fn follows_logs(guest: &Guest) -> anyhow::Result<()> {
    let image = guest.run("system-docker inspect -f '{{.Config.Image}}' syslog")?;
    guest.run(&format!("system-docker run -d --name talker --entrypoint sh {image} -c 'for i in 1 2 3; do echo line $i; sleep 0.2; done'"))?;
    let lines = guest.run("system-docker logs -f talker")?;
    ensure!(
        lines == "line 1\nline 2\nline 3",
        "logs -f printed {lines:?}"
    );
    ensure!(
        guest.run("system-docker logs --tail 1 talker")? == "line 3",
        "--tail 1"
    );
    guest.run("system-docker rm talker").map(drop)
}

/// A process of a container is killed because memory ran out, and the container goes on: both engines report it at once.
fn tells_of_memory_kills(guest: &Guest) -> anyhow::Result<()> {
    guest.run("docker save busybox | system-docker load")?;
    for docker in ["docker", "system-docker"] {
        // `dd` has no more than its one block.
        guest.run(&format!(
            "{docker} run -d --name hungry -m 30m --memory-swap 30m busybox sh -c \
             'sleep 1; dd if=/dev/zero of=/dev/null bs=100M count=1; sleep 100000'"
        ))?;
        let told = format!(
            "{docker} events --since 0 --until $(date +%s) --filter container=hungry --filter event=oom \
             --format '{{{{.Action}}}}' | grep -x oom"
        );
        guest.run_until(&told, BOOT_DEADLINE)?;
        let state = guest.run(&format!(
            "{docker} inspect -f '{{{{.State.Status}}}} {{{{.State.OOMKilled}}}}' hungry"
        ))?;
        guest.run(&format!("{docker} rm -f hungry"))?;
        ensure!(state == "running true", "{docker} says {state}");
    }
    Ok(())
}
