"""`rootfs-builder batch --scheduler` as its users meet it: one line whatever is wrong, and nothing left behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trustme
from support.cluster import Cluster
from support.command import ENVIRONMENT, argv, run_in
from support.farm import Farm, Hung
from support.images import Spec, layout
from support.processes import wait_until
from support.tars import file, tar


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a batch is started: a small image."""
    layout(tmp_path / "small", Spec((tar(file("a", b"a")),), config={"Cmd": ["/a"]}))
    return tmp_path


def batch(place: Path, lines: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_in(place, "-q", "batch", "-", "-o", "disks", *words, stdin=lines, **environment)


def start(place: Path, farm: Farm, lines: str) -> subprocess.Popen[str]:
    (place / "list").write_text(lines)
    words = ("-q", "batch", "list", "-o", "disks", "--report", "report.json", "--scheduler", farm.scheduler.address)
    return subprocess.Popen(argv(*words), cwd=place, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def statuses(place: Path) -> list[str]:
    return [image["status"] for image in json.loads((place / "report.json").read_text())["images"]]


def disks(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "disks").iterdir())


@pytest.mark.heavy
def test_disks_land_where_the_command_was_started(place: Path, farm: Farm) -> None:
    (place / "scheduler.json").write_text(json.dumps({"address": farm.scheduler.address}))
    done = batch(place, "oci:small\n", "--scheduler", "scheduler.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "disks/small.ext4\n", "")
    assert disks(place) == ["small.ext4", "small.ext4.json"]


@pytest.mark.heavy
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_batch_ends_its_builds(
    place: Path, farm: Farm, hung: Hung, number: signal.Signals, status: int
) -> None:
    with start(place, farm, "oci:small\n" + hung.image() + "oci:small output=b\n") as process:
        hung.take()
        # The next build begins while the report of the last is being written.
        wait_until(lambda: statuses(place)[0] == "built")
        process.send_signal(number)
        assert process.communicate()[1] == ""
    assert process.returncode == status
    assert farm.builds == []
    assert statuses(place) == ["built", "cancelled", "cancelled"]
    assert disks(place) == ["small.ext4", "small.ext4.json"]


@pytest.mark.slow
def test_an_interrupted_batch_that_waits_for_a_worker_leaves_nothing(place: Path, farm: Farm) -> None:
    farm.workers[0].kill()
    words = argv("batch", "-", "-o", "disks", "--scheduler", farm.scheduler.address)
    with subprocess.Popen(
        words, cwd=place, env=ENVIRONMENT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("oci:small\n")
        process.stdin.close()
        assert process.stderr.readline() == "building 1 disk\n"
        line = f"rootfs-builder: notice: {farm.scheduler.address} has no worker that takes builds; waiting for one\n"
        assert process.stderr.readline() == line
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == 130
    assert disks(place) == []


@pytest.mark.heavy
def test_the_builds_of_a_batch_that_was_killed_give_up(place: Path, farm: Farm, hung: Hung) -> None:
    with start(place, farm, "oci:small\n" + hung.image()) as process:
        hung.take()
        assert len(farm.builds) == 1
        wait_until(lambda: statuses(place)[0] == "built")
        process.kill()
    wait_until(lambda: farm.builds == [])
    assert statuses(place) == ["built", "unfinished"]
    # What the batch itself had there, until the next one comes.
    assert [name for name in disks(place) if not name.startswith((".cluster.", "small."))] == []


@pytest.mark.slow
def test_a_scheduler_that_goes_in_the_middle_ends_the_batch_with_a_line_and_a_report(
    place: Path, farm: Farm, hung: Hung
) -> None:
    with start(place, farm, "oci:small\n" + hung.image()) as process:
        hung.take()
        farm.scheduler.kill()
        words = process.communicate()[1]
    address = farm.scheduler.address
    assert (
        words
        == f"rootfs-builder: error: the scheduler {address}: it is gone; the same command goes on once it is back\n"
    )
    assert process.returncode == 1
    assert statuses(place) == ["built", "cancelled"]
    wait_until(lambda: farm.builds == [])
    assert disks(place) == ["small.ext4", "small.ext4.json"]


@pytest.mark.slow
def test_tls_is_as_dask_is_configured(place: Path, cluster: Cluster, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    environment = {f"{tls}CA_FILE": f"{tmp_path}/ca.pem"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        environment |= {f"{tls}{role}__CERT": f"{tmp_path}/cert.pem", f"{tls}{role}__KEY": f"{tmp_path}/key.pem"}
    scheduler = cluster.scheduler(protocol="tls", environment=environment)
    worker = cluster.worker(scheduler, environment=environment)
    without = batch(place, "oci:small\n", "--scheduler", scheduler.address)
    done = batch(place, "oci:small\n", "--scheduler", scheduler.address, **environment)
    (place / "disks/small.ext4").unlink()
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    other = environment | {f"{tls}CA_FILE": f"{tmp_path}/other.pem"}
    distrusted = batch(place, "oci:small\n", "--scheduler", scheduler.address, **other)
    none = environment | {f"{tls}CA_FILE": f"{tmp_path}/none.pem"}
    unreadable = batch(place, "oci:small\n", "--scheduler", scheduler.address, **none)
    for process in (scheduler, worker):
        process.kill()
    assert scheduler.address.startswith("tls://")
    assert (done.returncode, done.stdout, done.stderr) == (0, "disks/small.ext4\n", "")
    assert without.returncode == 1
    assert without.stderr.endswith("no certificates for tls:// (distributed.comm.tls); name them there\n")
    advice = "; name certificates that both trust in Dask's configuration (distributed.comm.tls)\n"
    for refused, why in ((distrusted, "certificate verify failed"), (unreadable, "No such file or directory")):
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"rootfs-builder: error: the scheduler {scheduler.address}: no TLS with it (")
        assert why in refused.stderr
        assert refused.stderr.endswith(advice)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.heavy
def test_a_scheduler_that_is_not_there_is_one_line(place: Path) -> None:
    address = f"tcp://127.0.0.1:{unused_port()}"
    done = batch(place, "oci:small\n", "--scheduler", address)
    # Which of the two is said decides how busy this machine is: Dask asks again and again for as long as it waits.
    reasons = ["Connection refused", "no answer in 5 s"]
    said = [f"rootfs-builder: error: the scheduler {address}: {each}; start it, or name another\n" for each in reasons]
    assert (done.returncode, done.stderr in said) == (1, True), done.stderr
    assert disks(place) == []


@pytest.mark.heavy
def test_something_else_than_a_scheduler_is_one_line(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        words = argv("-q", "batch", "-", "-o", "disks", "--scheduler", address)
        with subprocess.Popen(
            words, cwd=place, env=ENVIRONMENT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write("oci:small\n")
            process.stdin.close()
            taken, _ = server.accept()
            with taken:
                taken.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
            assert process.stderr is not None
            words_said = process.stderr.read()
    assert process.returncode == 1
    assert words_said.startswith(f"rootfs-builder: error: the scheduler {address}: ")
    assert words_said.count("\n") == 1


@pytest.mark.heavy
def test_without_dask_the_line_says_what_to_install(place: Path) -> None:
    (place / "without").mkdir()
    (place / "without/distributed.py").write_text("raise ModuleNotFoundError(\"No module named 'distributed'\")\n")
    path = f"{place / 'without'}:{ENVIRONMENT['PYTHONPATH']}"
    done = batch(place, "oci:small\n", "--scheduler", "tcp://127.0.0.1:1", PYTHONPATH=path)
    assert done.returncode == 4
    assert done.stderr == (
        "rootfs-builder: error: No module named 'distributed': "
        "builds on a cluster need pip install 'rootfs-builder[dask]'\n"
    )
    assert batch(place, "oci:small\n", PYTHONPATH=path).returncode == 0


@pytest.mark.heavy
def test_plain_tcp_of_another_machine_is_wrong_usage(place: Path) -> None:
    done = batch(place, "oci:small\n", "--scheduler", "tcp://192.0.2.1:8786")
    assert done.returncode == 2
    assert done.stderr.startswith("rootfs-builder: error: tcp://192.0.2.1:8786 is neither encrypted nor this machine: ")
