"""`inspect --tree`: what it shows of an image, in how many lines and columns, and all of it as JSON."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from support.images import Spec, layout
from support.tars import file, hardlink, tar, whiteout

from builder.cli.columns import fitted, width
from builder.cli.console import Console
from builder.cli.main import cli
from builder.errors import UsageError
from builder.layers.stream import LayerStream

HOSTILE = "\x1b[2J</script>\u202e"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tree") / "image"
    base = tar(
        file("lib/large", bytes(5000)),
        file("var/cache/one", bytes(3000)),
        file("var/cache/two", bytes(2000)),
        file("etc/config", bytes(700)),
        file(f"opt/{HOSTILE}", bytes(900)),
        file(b"opt/\xff", bytes(10)),
        file("opt/" + "\u540d" * 60, bytes(20)),
    )
    top = tar(whiteout("var/cache"), file("etc/config", bytes(800)), hardlink("lib/same", "lib/large"))
    layout(path, Spec((base, top)))
    return f"oci:{path}"


def shown(*words: str, columns: int = 100) -> list[str]:
    console = Console()
    console.quiet = True
    ran = CliRunner().invoke(
        cli, ["inspect", *words], obj=console, env={"COLUMNS": str(columns)}, catch_exceptions=False
    )
    return ran.stdout_bytes.decode("utf-8", "surrogateescape").splitlines()


def test_it_says_where_the_bytes_are_and_which_are_wasted(image: str) -> None:
    lines = shown(image, "--tree", "--top", "4")
    assert lines[:3] == [
        "Content:      6.6 KiB in 5 files",
        "Wasted:       5.6 KiB of the 12.1 KiB in 2 layers",
        "Efficiency:   93.6 % (as dive counts it)",
    ]
    tree = lines[lines.index("") + 1 :]
    assert [line.split()[0] for line in tree[1:3]] == ["1", "2"]
    assert "   4.9 KiB   74.3 %        1  1        ├── lib/" in lines
    assert "   4.9 KiB   74.3 %        1  1        │   └── large" in lines
    assert lines[-2:] == [
        "   4.9 KiB  1        deleted by 2: /var/cache (2 files)",
        "     700 B  1        replaced by 2: /etc/config",
    ]


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal_and_none_holds_what_it_obeys(image: str, columns: int) -> None:
    lines = shown(image, "--tree", "--top", "50", columns=columns)
    assert max(map(width, lines)) <= columns
    assert all(line.isprintable() for line in lines)
    whole = "\n".join(shown(image, "--tree", "--top", "50", columns=500))
    assert "\\x1b[2J</script>\\u202e" in whole
    assert "\\xff" in whole


def test_depth_and_top_cut_what_is_shown(image: str) -> None:
    lines = shown(image, "--tree", "--depth", "1")
    assert [line for line in lines if "──" in line and not line.endswith("/")] == []
    assert len([line for line in shown(image, "--tree", "--top", "2") if "──" in line]) == 2


def test_json_is_all_of_it_and_names_come_back(image: str) -> None:
    document = json.loads("\n".join(shown(image, "--tree", "--json")))
    files = {each["path"]: (each["size"], each["layer"]) for each in document["biggest"]}
    assert files == {
        "/lib/large": (5000, 1),
        f"/opt/{HOSTILE}": (900, 1),
        "/etc/config": (800, 2),
        "/opt/" + "\u540d" * 60: (20, 1),
        "/opt/\udcff": (10, 1),
    }
    assert document["directories"][0] == {"path": "/", "size": 6730, "files": 5, "layers": {"1": 5930, "2": 800}}
    assert [(each["path"], each["how"], each["by"], each["size"]) for each in document["lost"]] == [
        ("/var/cache", "deleted", 2, 5000),
        ("/etc/config", "replaced", 2, 700),
    ]
    tree = document["tree"]
    assert (tree["size"], tree["files"], tree["wasted"]) == (6730, 5, 5700)
    assert [(each["size"], each["wasted"]) for each in tree["layers"]] == [(11630, 5700), (800, 0)]
    assert document["config"]["digest"].startswith("sha256:")
    assert len(json.loads("\n".join(shown(image, "--tree", "--json", "--top", "1")))["biggest"]) == 1


def test_no_content_is_read_out_of_a_layer(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("content is read")

    monkeypatch.setattr(LayerStream, "content", refused)
    assert shown(image, "--tree")[0] == "Content:      6.6 KiB in 5 files"


def test_names_are_cut_by_columns_and_not_by_characters() -> None:
    assert fitted("abcdef", 6) == "abcdef"
    assert fitted("abcdefg", 6) == "abcde…"
    assert fitted("\u540d\u540d\u540d", 5) == "\u540d\u540d…"
    assert width("e\u0301") == 1


def test_tree_reads_layers_so_quick_is_no_tree(image: str) -> None:
    for words in (["--tree", "--quick"], ["--top", "3"], ["--depth", "1"]):
        assert isinstance(CliRunner().invoke(cli, ["inspect", image, *words], obj=Console()).exception, UsageError)
