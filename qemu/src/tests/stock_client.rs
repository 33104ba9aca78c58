//! Docker's own client on PID 1's socket: its verbs, each with what it must answer.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::artifacts::Artifacts;
use crate::context::{Context, shared, shared_with};
use crate::guest::{BOOT_DEADLINE, Guest};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(context, "stock_client_handles_containers", containers),
        shared(context, "stock_client_handles_images", images),
        shared(context, "stock_client_handles_networks", networks),
        shared(context, "stock_client_handles_volumes", volumes),
        shared_with(context, "stock_client_pushes_and_pulls", registry),
    ]
}

/// What a line must answer.
enum Answer {
    Done,
    Is(&'static str),
    Has(&'static str),
    /// It fails, and says so in these words.
    Refused(&'static str),
    /// It is repeated until it succeeds.
    Becomes,
}

use Answer::{Becomes, Done, Has, Is, Refused};

/// Runs the lines; `IMAGE` is busybox under a name of the test's own.
fn play(guest: &Guest, image: &str, lines: &[(&str, Answer)]) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    guest.run(&format!(
        "docker tag busybox {image} && docker save {image} | system-docker load -q && docker rmi {image}"
    ))?;
    for (line, answer) in lines {
        let command = format!(
            "export DOCKER_HOST=unix:///var/run/system-docker.sock; {}",
            line.replace("IMAGE", image)
        );
        if matches!(answer, Becomes) {
            guest.run_until(&command, BOOT_DEADLINE)?;
            continue;
        }
        let found = guest.ssh.answer(&command)?;
        check(answer, found.code, found.stdout.trim(), &found.stderr)
            .with_context(|| format!("{line}: {found:?}"))?;
    }
    guest
        .run(&format!("system-docker rmi -f {image}"))
        .map(drop)
}

fn check(answer: &Answer, code: i32, stdout: &str, stderr: &str) -> anyhow::Result<()> {
    if let Refused(words) = answer {
        ensure!(code != 0, "it is not refused");
        ensure!(stderr.contains(words), "not refused with {words:?}");
        return Ok(());
    }
    ensure!(code == 0, "it fails");
    match answer {
        Is(text) => ensure!(stdout == *text, "it is not {text:?}"),
        Has(text) => ensure!(stdout.contains(text), "it has no {text:?}"),
        Done | Refused(_) | Becomes => {}
    }
    Ok(())
}

#[rustfmt::skip] // one line a step, so that it reads as a session
fn containers(guest: &Guest) -> anyhow::Result<()> {
    play(guest, "cli-containers", &[
        ("docker create --name cli-one --label cli --memory 64m -e A=b IMAGE sleep 100000", Done),
        ("docker inspect -f '{{.State.Status}} {{.HostConfig.Memory}}' cli-one", Is("created 67108864")),
        ("docker start cli-one", Is("cli-one")),
        ("docker rename cli-one cli-two", Done),
        ("docker update --memory 96m --memory-swap 96m --pids-limit 50 cli-two", Is("cli-two")),
        ("docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' cli-two", Is("100663296 50")),
        ("docker exec cli-two sh -c 'echo $A; cat /sys/fs/cgroup/pids.max'", Is("b\n50")),
        ("docker exec -t cli-two tty", Has("/dev/pts/0")),
        ("docker pause cli-two && docker ps --filter name=cli-two --format '{{.Status}}'", Has("(Paused)")),
        ("docker unpause cli-two", Is("cli-two")),
        ("docker top cli-two", Has("sleep 100000")),
        ("docker stats --no-stream --format '{{.Name}} {{.PIDs}}' cli-two", Is("cli-two 1")),
        ("echo given > /tmp/cli && docker cp -q /tmp/cli cli-two:/tmp/given && docker exec cli-two cat /tmp/given", Is("given")),
        ("docker cp cli-two:/tmp/given - | tar -xO", Is("given")),
        ("docker diff cli-two", Has("A /tmp/given")),
        ("docker export cli-two | tar -t tmp/given", Is("tmp/given")),
        ("docker commit -m why cli-two IMAGE:made && docker run --rm IMAGE:made cat /tmp/given", Has("given")),
        ("docker history IMAGE:made", Has("why")),
        ("docker run --name cli-log IMAGE sh -c 'echo one; echo three'", Is("one\nthree")),
        ("docker start -a cli-log", Is("one\nthree")),
        ("docker logs --tail 1 cli-log", Is("three")),
        ("docker logs -t cli-log", Has("Z one")),
        ("docker logs --since 2100-01-01T00:00:00Z cli-log", Is("")),
        ("echo typed | docker run --rm -i IMAGE tr a-z A-Z", Is("TYPED")),
        ("docker run --rm --init IMAGE cat /proc/1/comm", Is("docker-init")),
        ("docker run --rm --read-only IMAGE touch /x", Refused("Read-only file system")),
        ("docker run -d --name cli-well --health-cmd true --health-interval 1s IMAGE sleep 100000", Done),
        ("docker inspect -f '{{.State.Health.Status}}' cli-well | grep -x healthy", Becomes),
        ("docker run -d --name cli-again --restart on-failure:2 IMAGE false", Done),
        ("docker inspect -f '{{.RestartCount}} {{.State.Status}}' cli-again | grep -x '2 exited'", Becomes),
        ("docker restart -t 0 cli-two", Is("cli-two")),
        ("docker kill -s KILL cli-two && docker wait cli-two", Is("cli-two\n137")),
        ("docker events --since 30m --until $(date +%s) --filter container=cli-two --format '{{.Action}}'", Has("rename")),
        ("docker run --rm --link cli-well IMAGE true", Refused("links are Docker's legacy")),
        ("docker container prune -f --filter label=cli", Has("Deleted Containers")),
        ("docker rm -f cli-log cli-well cli-again", Is("cli-log\ncli-well\ncli-again")),
        ("docker rmi IMAGE:made", Has("Untagged")),
    ])
}

#[rustfmt::skip]
fn images(guest: &Guest) -> anyhow::Result<()> {
    play(guest, "cli-images", &[
        ("docker tag IMAGE IMAGE:second && docker images --format '{{.Tag}}' IMAGE | sort", Is("latest\nsecond")),
        ("docker save IMAGE:second | tar -t manifest.json", Is("manifest.json")),
        ("docker rmi IMAGE:second", Is("Untagged: cli-images:second")),
        ("tar -C /etc -c hostname | docker import -m why - IMAGE:imported", Has("sha256:")),
        ("docker inspect -f '{{.Os}} {{.Comment}}' IMAGE:imported", Is("linux why")),
        ("docker rmi IMAGE:imported", Has("Deleted: sha256:")),
        ("docker tag IMAGE localhost:9/IMAGE && docker push localhost:9/IMAGE", Refused("connection refused")),
        ("docker rmi localhost:9/IMAGE", Done),
        ("docker pull localhost:9/none", Refused("connection refused")),
        ("docker login -u a -p b localhost:9", Refused("connection refused")),
        ("docker image prune -f --filter label=nobodys", Has("Total reclaimed space: 0B")),
        ("docker system df --format '{{.Type}}'", Has("Local Volumes")),
        ("echo FROM IMAGE | DOCKER_BUILDKIT=0 docker build -", Refused("User Docker")),
        ("docker swarm init", Refused("User Docker")),
        ("docker service ls", Refused("This node is not a swarm manager")),
        ("docker plugin ls -q", Is("")),
        ("docker version --format '{{.Server.APIVersion}}'", Is("1.45")),
    ])
}

#[rustfmt::skip]
fn networks(guest: &Guest) -> anyhow::Result<()> {
    play(guest, "cli-networks", &[
        ("docker network create --label cli-nets --subnet 172.31.7.0/24 cli-net", Done),
        ("docker network inspect -f '{{.Driver}} {{(index .IPAM.Config 0).Subnet}}' cli-net", Is("bridge 172.31.7.0/24")),
        ("docker run -d --name cli-web --network cli-net --network-alias shop -p 127.0.0.1:8083:80 IMAGE \
          sh -c 'echo served > /tmp/index.html; exec httpd -f -p 80 -h /tmp'", Done),
        ("docker port cli-web", Is("80/tcp -> 127.0.0.1:8083")),
        ("test \"$(wget -qO- http://127.0.0.1:8083/index.html)\" = served", Becomes),
        ("docker run --rm --network cli-net IMAGE wget -qO- http://shop/index.html", Is("served")),
        ("docker run --rm --network container:cli-web IMAGE wget -qO- http://127.0.0.1/index.html", Is("served")),
        ("docker network create --label cli-nets cli-further", Done),
        ("docker network connect --alias second cli-further cli-web", Done),
        ("docker run --rm --network cli-further IMAGE wget -qO- http://second/index.html", Is("served")),
        ("docker network disconnect cli-further cli-web", Done),
        ("docker inspect -f '{{len .NetworkSettings.Networks}}' cli-web", Is("1")),
        ("docker run --rm --network none IMAGE sh -c 'ip -o link | wc -l'", Is("1")),
        ("docker run --rm --network host IMAGE ip -o link show docker-sys", Has("docker-sys")),
        ("docker network create -d macvlan -o parent=eth0 --label cli-nets --subnet 172.31.8.0/24 cli-mac", Done),
        ("docker run --rm --network cli-mac IMAGE ip -4 -o addr show eth0", Has("172.31.8.2/24")),
        ("docker network rm cli-mac", Is("cli-mac")),
        ("docker network create -d ipvlan -o parent=eth0 --label cli-nets --subnet 172.31.9.0/24 cli-ip", Done),
        ("docker run --rm --network cli-ip IMAGE ip -4 -o addr show eth0", Has("172.31.9.2/24")),
        ("docker network rm cli-net", Refused("has active endpoints")),
        ("docker rm -f cli-web", Is("cli-web")),
        ("docker network prune -f --filter label=cli-nets", Has("cli-further")),
        ("docker network ls -q --filter label=cli-nets", Is("")),
    ])
}

#[rustfmt::skip]
fn volumes(guest: &Guest) -> anyhow::Result<()> {
    play(guest, "cli-volumes", &[
        ("docker volume create --label cli-vols --opt type=tmpfs --opt device=tmpfs --opt o=size=1m cli-small", Is("cli-small")),
        ("docker run --rm -v cli-small:/data IMAGE sh -c 'mount | grep /data'", Has("size=1024k")),
        ("docker volume create --label cli-vols cli-vol", Is("cli-vol")),
        ("docker run --rm -v cli-vol:/data IMAGE sh -c 'echo kept > /data/x'", Done),
        ("docker run --rm -v cli-vol:/data:ro IMAGE cat /data/x", Is("kept")),
        ("docker run --rm --mount type=volume,src=cli-vol,dst=/data,readonly IMAGE touch /data/y", Refused("Read-only file system")),
        ("docker run --rm --tmpfs /t:size=64k IMAGE sh -c 'mount | grep \" /t \"'", Has("size=64k")),
        ("docker volume ls -q --filter label=cli-vols", Is("cli-small\ncli-vol")),
        ("docker volume inspect -f '{{.Driver}} {{.Mountpoint}}' cli-vol", Has("local /")),
        ("docker volume rm cli-small", Is("cli-small")),
        ("docker volume prune -af --filter label=cli-vols", Has("cli-vol")),
        ("docker volume inspect cli-vol", Refused("no such volume")),
    ])
}

/// A registry with one user, `rancher` with the password `secret` (bcrypt, as htpasswd(1) writes it).
const REGISTRY: &str = "version: 0.1
storage: {filesystem: {rootdirectory: /tmp/registry/data}, delete: {enabled: true}}
http: {addr: 127.0.0.1:5000}
auth: {htpasswd: {realm: test, path: /tmp/registry/users}}
";
const USERS: &str = "rancher:$2b$04$jLsBD1yYrblgnGZd.kDPeOd4xublyPKnGveqTtJrBnDANq6tlgt4q";

/// Docker's own registry in the console, which both Dockers reach as a registry of the machine itself.
#[rustfmt::skip]
fn registry(artifacts: &Artifacts, guest: &Guest) -> anyhow::Result<()> {
    let program = "/tmp/registry/docker-registry";
    guest.run(&format!(
        "mkdir -p /tmp/registry && echo '{USERS}' > /tmp/registry/users && echo '{REGISTRY}' > /tmp/registry/config.yml"
    ))?;
    guest.ssh.send_program(&artifacts.client("docker-registry")?, program)?;
    guest.run(&format!("setsid {program} serve /tmp/registry/config.yml >/tmp/registry/log 2>&1 </dev/null &"))?;
    play(guest, "cli-registry", &[
        ("wget -qO- http://127.0.0.1:5000/", Becomes),
        // A layer that no other test's image holds
        ("docker run --name cli-layer IMAGE sh -c 'echo kept > /kept' && docker commit cli-layer 127.0.0.1:5000/team/IMAGE:one", Done),
        ("docker rm cli-layer", Done),
        ("docker push 127.0.0.1:5000/team/IMAGE:one", Refused("no basic auth credentials")),
        ("docker login -u rancher -p wrong 127.0.0.1:5000", Refused("401 Unauthorized")),
        ("docker login -u rancher -p secret 127.0.0.1:5000", Has("Login Succeeded")),
        ("docker push 127.0.0.1:5000/team/IMAGE:one", Has("one: digest: sha256:")),
        ("docker push 127.0.0.1:5000/team/IMAGE:one", Has("Layer already exists")),
        ("docker push -q 127.0.0.1:5000/team/IMAGE:one", Is("127.0.0.1:5000/team/cli-registry:one")),
        ("docker rmi 127.0.0.1:5000/team/IMAGE:one", Has("Deleted: sha256:")),
        ("docker pull 127.0.0.1:5000/team/IMAGE:one", Has("Downloaded newer image for 127.0.0.1:5000/team/cli-registry:one")),
        ("docker pull 127.0.0.1:5000/team/IMAGE:one", Has("Image is up to date")),
        ("docker run --rm 127.0.0.1:5000/team/IMAGE:one cat /kept", Is("kept")),
        ("docker inspect -f '{{index .RepoDigests 0}}' 127.0.0.1:5000/team/IMAGE:one > /tmp/registry/digest", Done),
        ("docker rmi 127.0.0.1:5000/team/IMAGE:one && docker pull -q $(cat /tmp/registry/digest)", Has("@sha256:")),
        ("docker tag $(cat /tmp/registry/digest) 127.0.0.1:5000/team/IMAGE:two && docker push -aq 127.0.0.1:5000/team/IMAGE", Done),
        ("docker pull -aq 127.0.0.1:5000/team/IMAGE && docker images --format '{{.Tag}}' 127.0.0.1:5000/team/IMAGE | sort", Has("one\ntwo")),
        ("docker pull 127.0.0.1:5000/team/IMAGE:none", Refused("manifest unknown")),
        // What PID 1 has pushed is an image to the real Docker Engine too, and the other way round.
        ("docker -H unix:///var/run/docker.sock run --rm 127.0.0.1:5000/team/IMAGE:two cat /kept", Is("kept")),
        ("docker -H unix:///var/run/docker.sock tag busybox 127.0.0.1:5000/user \
          && docker -H unix:///var/run/docker.sock push -q 127.0.0.1:5000/user", Done),
        ("docker run --rm --pull always 127.0.0.1:5000/user echo system", Is("system")),
        ("docker logout 127.0.0.1:5000", Has("Removing login credentials")),
        ("docker pull 127.0.0.1:5000/user", Refused("no basic auth credentials")),
        ("docker rmi 127.0.0.1:5000/user 127.0.0.1:5000/team/IMAGE:one 127.0.0.1:5000/team/IMAGE:two", Has("Deleted: sha256:")),
        ("docker -H unix:///var/run/docker.sock rmi 127.0.0.1:5000/user 127.0.0.1:5000/team/IMAGE:two", Has("Untagged")),
    ])?;
    guest.run("pkill -x docker-registry").map(drop)
}
