from __future__ import annotations

import json
from typing import Any

import pytest

from builder.errors import MalformedDocument
from builder.image.config import Healthcheck, History, ImageConfig, parse_config
from builder.image.digest import Digest
from builder.image.platform import Platform
from builder.image.port import ExposedPort

DIFF_ID = Digest.of(b"tar")
LEAST: dict[str, Any] = {
    "os": "linux",
    "architecture": "amd64",
    "rootfs": {"type": "layers", "diff_ids": [str(DIFF_ID)]},
}


def parse(document: object) -> ImageConfig:
    return parse_config(json.dumps(document).encode(), "config sha256:abc")


def refusal(document: object) -> tuple[str, str]:
    with pytest.raises(MalformedDocument) as caught:
        parse(document)
    assert caught.value.document == "config sha256:abc"
    return caught.value.path, caught.value.reason


def test_everything_that_a_config_says_is_kept() -> None:
    config = parse(
        LEAST
        | {
            "architecture": "arm64",
            "variant": "v8",
            "created": "2026-05-13T02:21:49.123456789Z",
            "author": "someone",
            "config": {
                "Entrypoint": ["/bin/init", ""],
                "Cmd": ["--flag", "ü\n"],
                "Env": ["PATH=/bin", "EMPTY=", "NO_EQUALS", "A=b=c"],
                "WorkingDir": "/srv",
                "User": "1000:audio",
                "ExposedPorts": {"80": {}, "53/udp": {}, "8000-8010/sctp": {}, "80/tcp": None},
                "Volumes": {"/data": {}, "/log": None},
                "StopSignal": "SIGQUIT",
                "Labels": {"a.b/c": "d", "A.b/c": ""},
                "Healthcheck": {
                    "Test": ["CMD", "true"],
                    "Interval": 30_000_000_000,
                    "Timeout": 5,
                    "StartPeriod": 6,
                    "StartInterval": 7,
                    "Retries": 3,
                },
                "ArgsEscaped": True,
                "OnBuild": None,
                "Shell": ["/bin/sh"],
            },
            "history": [
                {"created": "then", "created_by": "ADD x /", "author": "me", "comment": "buildkit"},
                {"empty_layer": True},
                {},
            ],
            "moby.buildkit.buildinfo.v1": "x",
            "container_config": {"Cmd": "ignored, so of any type"},
        }
    )
    assert config == ImageConfig(
        os="linux",
        architecture="arm64",
        variant="v8",
        diff_ids=(DIFF_ID,),
        created="2026-05-13T02:21:49.123456789Z",
        author="someone",
        entrypoint=("/bin/init", ""),
        cmd=("--flag", "ü\n"),
        env=("PATH=/bin", "EMPTY=", "NO_EQUALS", "A=b=c"),
        working_dir="/srv",
        user="1000:audio",
        exposed_ports=(ExposedPort(80, 80), ExposedPort(53, 53, "udp"), ExposedPort(8000, 8010, "sctp")),
        volumes=("/data", "/log"),
        stop_signal="SIGQUIT",
        labels={"a.b/c": "d", "A.b/c": ""},
        healthcheck=Healthcheck(("CMD", "true"), 30_000_000_000, 5, 6, 7, 3),
        history=(
            History("then", "ADD x /", "me", "buildkit"),
            History(empty_layer=True),
            History(),
        ),
    )
    assert config.platform == Platform("linux", "arm64", "v8")


EMPTY = ImageConfig("linux", "amd64", (DIFF_ID,))
OPTIONAL = [
    *("Entrypoint", "Cmd", "Env", "WorkingDir", "User", "ExposedPorts"),
    *("Volumes", "StopSignal", "Labels", "Healthcheck"),
]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"config": None, "history": None, "created": None, "author": None, "variant": None},
        {"config": dict.fromkeys(OPTIONAL)},
        {"config": {}, "history": [], "variant": ""},
    ],
)
def test_null_means_absent_for_what_is_optional_as_go_writes_it(more: dict[str, Any]) -> None:
    assert parse(LEAST | more) == EMPTY


def test_nulls_within_a_healthcheck_and_history_mean_absent() -> None:
    config = parse(LEAST | {"config": {"Healthcheck": {"Test": None, "Retries": None}}, "history": [{"comment": None}]})
    assert (config.healthcheck, config.history) == (Healthcheck(), (History(),))


@pytest.mark.parametrize("rootfs", [{"type": "layers"}, {"type": "layers", "diff_ids": None}])
def test_docker_may_leave_out_the_diff_ids_of_an_image_without_layers(rootfs: dict[str, Any]) -> None:
    assert parse(LEAST | {"rootfs": rootfs}).diff_ids == ()


def test_history_may_tell_of_other_layers_than_there_are() -> None:
    assert len(parse(LEAST | {"history": [{}, {}, {}]}).history) == 3


@pytest.mark.parametrize("field", ["os", "architecture", "rootfs"])
def test_what_is_not_said_of_the_platform_and_the_layers_is_empty(field: str) -> None:
    left = {key: value for key, value in LEAST.items() if key != field}
    config = parse(left)
    assert config == parse(LEAST | {field: None})
    stated = {"os": config.os, "architecture": config.architecture, "rootfs": config.diff_ids}
    assert stated == {"os": "linux", "architecture": "amd64", "rootfs": (DIFF_ID,)} | {field: type(stated[field])()}


@pytest.mark.parametrize("rootfs", [{}, {"type": "zfs"}, {"type": 5}, {"type": None}])
def test_the_type_of_the_layers_is_what_it_has_always_been(rootfs: dict[str, Any]) -> None:
    assert parse(LEAST | {"rootfs": {"diff_ids": [str(DIFF_ID)], **rootfs}}) == EMPTY


def execution(**fields: object) -> dict[str, Any]:
    return LEAST | {"config": fields}


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        (LEAST | {"rootfs": []}, "$.rootfs", "expected `object | null`, got `array`"),
        (LEAST | {"rootfs": {"type": "layers", "diff_ids": [1]}}, "$.rootfs.diff_ids[0]", "expected `str`, got `int`"),
        (
            LEAST | {"rootfs": {"type": "layers", "diff_ids": [str(DIFF_ID), "sha256:1"]}},
            "$.rootfs.diff_ids[1]",
            "sha256 takes 64 hex digits, this has 1 characters",
        ),
        (LEAST | {"os": 5}, "$.os", "expected `str | null`, got `int`"),
        (LEAST | {"OS": "linux"}, "$.OS", "differs from `os` only in case, so readers disagree on what it means"),
        (
            execution(Cmd=["sh"], cmd=["sh"]),
            "$.config.cmd",
            "differs from `Cmd` only in case, so readers disagree on what it means",
        ),
        (execution(Cmd={}), "$.config.Cmd", "expected `str | array | null`, got `object`"),
        (execution(Cmd=[None]), "$.config.Cmd[0]", "expected `str`, got `null`"),
        (execution(Env={"A": "b"}), "$.config.Env", "expected `array | null`, got `object`"),
        (execution(User=1000), "$.config.User", "expected `str | null`, got `int`"),
        (execution(Entrypoint=["a", "b\0"]), "$.config.Entrypoint[1]", "holds a NUL, which no program can be given"),
        (execution(Cmd=["\0"]), "$.config.Cmd[0]", "holds a NUL, which no program can be given"),
        (execution(Env=["A=\0"]), "$.config.Env[0]", "holds a NUL, which no program can be given"),
        (execution(WorkingDir="/\0"), "$.config.WorkingDir", "holds a NUL, which no program can be given"),
        (execution(User="a\0"), "$.config.User", "holds a NUL, which no program can be given"),
        (execution(StopSignal="\0"), "$.config.StopSignal", "holds a NUL, which no program can be given"),
    ],
)
def test_what_breaks_the_specification_is_refused_with_its_path(document: object, path: str, reason: str) -> None:
    assert refusal(document) == (path, reason)


@pytest.mark.parametrize(
    ("odd", "path"),
    [
        ({"config": {"Labels": {"a": 1}}}, "$.config.Labels.a"),
        ({"config": {"Volumes": ["/data"]}}, "$.config.Volumes"),
        ({"config": {"ExposedPorts": ["80"]}}, "$.config.ExposedPorts"),
        ({"config": {"ExposedPorts": {"8080/http": {}}}}, '$.config.ExposedPorts["8080/http"]'),
        ({"config": {"ExposedPorts": {"70000/tcp": {}}}}, '$.config.ExposedPorts["70000/tcp"]'),
        ({"config": {"Healthcheck": "none"}}, "$.config.Healthcheck"),
        ({"history": {}}, "$.history"),
        ({"history": [None]}, "$.history[0]"),
        ({"created": 5}, "$.created"),
        ({"author": ["me"]}, "$.author"),
    ],
)
def test_what_no_disk_depends_on_is_left_out_where_it_is_odd_and_that_is_said(odd: dict[str, Any], path: str) -> None:
    config = parse(LEAST | odd)
    assert config == EMPTY
    assert config.remarks == (f"1 value is left out, as no disk depends on it: {path}",)


def test_the_rest_of_an_odd_healthcheck_and_history_is_kept() -> None:
    check = {"Test": ["NONE"], "Interval": "30s", "Retries": -1, "Timeout": 5}
    config = parse(LEAST | {"config": {"Healthcheck": check}, "history": [{"empty_layer": "yes", "comment": "a"}]})
    assert (config.healthcheck, config.history) == (Healthcheck(("NONE",), timeout_ns=5), (History(comment="a"),))
    (remark,) = config.remarks
    assert remark.startswith("3 values are left out")


def test_a_label_that_is_null_is_empty_as_it_is_to_go() -> None:
    config = parse(LEAST | {"config": {"Labels": {"build": None}}})
    assert (config.labels, config.remarks) == ({"build": ""}, ())


@pytest.mark.parametrize("words", ["/init", ["/init"]])
def test_a_text_is_a_command_of_one_word_as_it_is_to_docker(words: object) -> None:
    config = parse(LEAST | {"config": {"Entrypoint": words, "Cmd": words}})
    assert (config.entrypoint, config.cmd) == (("/init",), ("/init",))


def test_letter_case_of_keys_is_ignored_as_docker_does_and_that_is_said() -> None:
    config = parse(LEAST | {"Config": {"cmd": ["sh"], "ENV": ["A=b"]}})
    assert config == ImageConfig("linux", "amd64", (DIFF_ID,), cmd=("sh",), env=("A=b",))
    assert config.remarks == ("letter case is ignored, as Docker does, in $.Config and 2 more",)


def test_the_same_key_twice_in_a_config_is_refused() -> None:
    data = json.dumps(LEAST).encode()[:-1] + b', "config": {"Cmd": ["a"], "Cmd": ["b"]}}'
    with pytest.raises(MalformedDocument) as caught:
        parse_config(data, "config")
    assert (caught.value.path, caught.value.reason) == ("$.config.Cmd", "the key is there more than once")
