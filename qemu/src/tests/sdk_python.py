"""Drives System Docker through the Docker SDK for Python. Arguments: socket, image. Prints `ok` at the end."""

import io
import sys
import tarfile
import threading

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import Healthcheck, IPAMConfig, IPAMPool, LogConfig, Mount, Ulimit

SOCKET, IMAGE = sys.argv[1:]
NAME = "sdk-python"


def refused(status, call, *arguments, **options):
    """The call must fail with this status."""
    try:
        call(*arguments, **options)
    except APIError as error:
        assert error.response.status_code == status, error
    else:
        raise AssertionError(f"{call} was not refused")


def containers(client):
    def sh(command, **options):
        return client.containers.run(IMAGE, ["-c", command], entrypoint="sh", **options)

    assert sh("echo out; echo err >&2", remove=True) == b"out\n"
    assert sh("echo out; echo err >&2", remove=True, stdout=False, stderr=True) == b"err\n"
    try:
        sh("exit 3", remove=True)
    except ContainerError as error:
        assert error.exit_status == 3
    else:
        raise AssertionError("exit status is lost")
    box = sh(
        "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done",
        detach=True,
        name=NAME,
        labels={"sdk": "python"},
        environment={"A": "b"},
        mem_limit="64m",
        ulimits=[Ulimit(name="nofile", soft=100, hard=200)],
        log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
        healthcheck=Healthcheck(test="true", interval=1_000_000_000),
        tmpfs={"/scratch": "size=1m"},
    )
    try:
        for line in box.logs(stream=True, follow=True):
            assert line == b"ready\n"
            break
        assert [one.id for one in client.containers.list(filters={"label": "sdk=python"})] == [box.id]
        assert box.exec_run("sh -c 'echo $A; ulimit -n'").output == b"b\n100\n"
        code, (out, err) = box.exec_run("sh -c 'echo o; echo e >&2; exit 4'", demux=True)
        assert (code, out, err) == (4, b"o\n", b"e\n")
        assert box.exec_run("tty", tty=True).output.startswith(b"/dev/pts/")
        assert box.exec_run("no-such-program").exit_code == 126
        refused(409, client.containers.create, IMAGE, name=NAME)
        put_and_get(box)
        assert {"Path": "/tmp/file", "Kind": 1} in box.diff()
        assert "Processes" in box.top()
        # Without a memory cgroup (a developer's machine) Docker leaves the usage out.
        assert box.stats(stream=False)["memory_stats"].get("usage", 1) > 0
        box.pause()
        box.reload()
        assert box.status == "paused"
        box.unpause()
        box.update(mem_limit="96m", memswap_limit="96m")
        box.rename(NAME + "-renamed")
        refused(409, box.remove)
        box.stop(timeout=20)
        assert box.wait()["StatusCode"] == 7
        box.start()
        box.restart(timeout=0)
        box.kill("KILL")
        assert box.wait()["StatusCode"] == 137
        image = box.commit("sdk/python", tag="made", changes='CMD ["true"]')
        assert image.attrs["Config"]["Cmd"] == ["true"]
        client.images.remove("sdk/python:made")
    finally:
        box.remove(force=True)
    try:
        client.containers.get(NAME)
    except NotFound:
        pass
    else:
        raise AssertionError("it is still there")


def put_and_get(box):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"text"))
    assert box.put_archive("/tmp", archive.getvalue())
    chunks, stat = box.get_archive("/tmp/file")
    assert stat["name"] == "file" and stat["size"] == 4
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        assert tar.extractfile("file").read() == b"text"


def networks_and_volumes(client):
    pool = IPAMPool(subnet="172.30.99.0/24", gateway="172.30.99.1")
    network = client.networks.create(NAME, ipam=IPAMConfig(pool_configs=[pool]), labels={"sdk": "python"})
    volume = client.volumes.create(NAME, labels={"sdk": "python"})
    box = None
    try:
        refused(409, client.networks.create, NAME)
        assert [one.name for one in client.volumes.list(filters={"label": "sdk=python"})] == [NAME]
        box = client.containers.create(
            IMAGE, ["1000000"], entrypoint="sleep", mounts=[Mount("/data", NAME)], network=NAME
        )
        box.start()
        box.reload()
        assert box.attrs["NetworkSettings"]["Networks"][NAME]["IPAddress"].startswith("172.30.99.")
        network.disconnect(box)
        network.connect(box, aliases=["other"], ipv4_address="172.30.99.77")
        network.reload()
        assert [one.id for one in network.containers] == [box.id]
        assert box.exec_run("sh -c 'echo kept > /data/file'").exit_code == 0
        refused(409, volume.remove)
        refused(403, network.remove)
    finally:
        if box:
            box.remove(force=True)
        network.remove()
        volume.remove()


def images(client):
    image = client.images.get(IMAGE)
    assert image.tag("sdk/python", "tagged")
    try:
        assert client.images.get("sdk/python:tagged").id == image.id
        assert [one.id for one in client.images.list("sdk/python")] == [image.id]
        assert image.history()
    finally:
        client.images.remove("sdk/python:tagged")
    try:
        client.images.get("sdk/python:tagged")
    except ImageNotFound:
        pass
    else:
        raise AssertionError("the tag is still there")


def events(client):
    seen = []
    stream = client.events(decode=True, filters={"container": NAME + "-events"})

    def listen():
        for event in stream:
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    client.containers.run(IMAGE, [], entrypoint="true", name=NAME + "-events", remove=True)
    listener.join(30)
    for action in ["create", "start", "die", "destroy"]:
        assert action in seen, (action, seen)


def main():
    client = docker.DockerClient(base_url=f"unix://{SOCKET}", timeout=120)
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.45"
    assert client.info()["OSType"] == "linux"
    for part in (containers, networks_and_volumes, images, events):
        part(client)
    client.close()
    print("ok")


main()
