"""What GitHub and GitLab do with our files, as far as those go: their steps run with bash, in a clean folder.

What a file asks for beyond that fails: an expression or a step that is not known here, or a name that is not there.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_EXPRESSION = re.compile(r"\$\{\{ ([\w.]+) \}\}")
_CONDITION = re.compile(r"([\w.]+) == '(\w*)'")


def load(path: Path) -> Any:
    """Read a file of YAML."""
    return YAML(typ="safe").load(path)


@dataclass
class Ran:
    """What a pipeline did: the outputs it stated, the actions of others it used, and all that it said."""

    outputs: dict[str, str] = field(default_factory=dict)
    used: list[dict[str, Any]] = field(default_factory=list)
    said: str = ""


def run_action(path: Path, workspace: Path, scratch: Path, inputs: dict[str, str]) -> Ran:
    """Run a composite action of GitHub in `workspace`, with `scratch` as the runner's folder for temporary files."""
    action, ran = load(path), Ran()
    assert inputs.keys() <= action["inputs"].keys()
    assert [name for name, each in action["inputs"].items() if each.get("required") and name not in inputs] == []
    given = {name: inputs.get(name, each.get("default", "")) for name, each in action["inputs"].items()}
    context: dict[str, Any] = {
        "inputs": given,
        "runner": {"temp": str(scratch), "os": "Linux"},
        "github": {"run_id": "7"},
        "steps": {},
    }
    for step in action["runs"]["steps"]:
        if not _holds(step.get("if"), context):
            continue
        if "uses" in step:
            ran.used.append({"uses": step["uses"], **_filled(step["with"], context)})
            continue
        assert step["shell"] == "bash"
        assert not _EXPRESSION.search(step["run"]), "an input within a script would be run by it"
        output = scratch / "output"
        output.write_text("")
        environment = {"GITHUB_OUTPUT": str(output), "GITHUB_ACTION_PATH": str(path.parent)}
        ran.said += _bash(step["run"], workspace, scratch, environment | _filled(step.get("env", {}), context))
        stated = dict(line.split("=", 1) for line in output.read_text().splitlines())
        context["steps"][step.get("id", "")] = {"outputs": stated}
    ran.outputs = {name: _value(each["value"], context) for name, each in action["outputs"].items()}
    return ran


def run_job(path: Path, name: str, workspace: Path, scratch: Path, variables: dict[str, str]) -> Ran:
    """Run a job of GitLab that extends the one called `name`; its artifacts must be there then."""
    job, ran = load(path)[name], Ran()
    assert variables.keys() <= job["variables"].keys()
    known = {"CI_PROJECT_DIR": str(workspace), **job["variables"], **variables}
    environment = {each: re.sub(r"\$(\w+)", lambda found: known[found[1]], value) for each, value in known.items()}
    ran.said = _bash("\n".join([*job["before_script"], *job["script"]]), workspace, scratch, environment)
    for kept in job["artifacts"]["paths"]:
        assert (workspace / re.sub(r"\$(\w+)", lambda found: environment[found[1]], kept)).exists(), kept
    return ran


def _bash(script: str, workspace: Path, scratch: Path, environment: dict[str, str]) -> str:
    home = scratch / "home"
    home.mkdir(exist_ok=True)
    # How this machine reaches packages is its own affair.
    network = {name: value for name, value in os.environ.items() if re.match(r"PIP_|.*_(?i:proxy)$", name)}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=workspace,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), **network, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _holds(condition: str | None, context: dict[str, Any]) -> bool:
    if condition is None:
        return True
    found = _CONDITION.fullmatch(condition)
    assert found is not None, condition
    return _named(found[1], context) == found[2]


def _filled(values: dict[str, str], context: dict[str, Any]) -> dict[str, str]:
    return {name: _value(value, context) for name, value in values.items()}


def _value(text: str, context: dict[str, Any]) -> str:
    assert text.count("${{") == len(_EXPRESSION.findall(text)), text
    return _EXPRESSION.sub(lambda found: _named(found[1], context), text)


def _named(path: str, context: dict[str, Any]) -> str:
    value: Any = context
    for part in path.split("."):
        value = value[part]
    assert isinstance(value, str)
    return value
