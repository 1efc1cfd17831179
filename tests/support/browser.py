"""Debian's Chromium without a window, spoken to through pipes (Chrome DevTools Protocol): no driver, no port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".cache/axe/package/axe.min.js"
BROWSER = shutil.which("chromium")
# A busy machine takes its time; who waits longer waits in vain.
_PATIENCE_SECONDS = 240.0


class Page:
    """One page of a browser that runs; keys and looks are a person's."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._number = 0
        self._session: str | None = None
        self._rest = b""
        self._loaded = False
        self.said: list[str] = []
        self.requested: list[str] = []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._writing, rest) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._take(answer)

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Page.loadEventFired":
            self._loaded = True
        if event.get("method") == "Network.requestWillBeSent":
            self.requested.append(event["params"]["request"]["url"])
        if event.get("method") == "Log.entryAdded":
            self.said.append(event["params"]["entry"]["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.said.append(json.dumps(event["params"]))

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._rest:
            assert select.select([self._reading], [], [], max(until - time.monotonic(), 0))[0], "the browser is silent"
            piece = os.read(self._reading, 1 << 20)
            assert piece, "the browser is gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, path: Path, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> None:
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        # By way of nothing: the same page once more, another part of it, is no page that loads.
        for url in ("about:blank", path.as_uri()):
            self._loaded = False
            self.command("Page.navigate", url=url)
            while not self._loaded:
                self._take(self._next())
        if scripts:
            # Once more has been drawn than the beginning: from here on keys are taken.
            self.value("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn())))")

    def value(self, expression: str) -> Any:
        """What an expression gives, a promise's value too."""
        ran = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in ran, ran
        return ran["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        words = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **words)
        self.command("Input.dispatchKeyEvent", type="keyUp", **words)

    def type(self, words: str) -> None:
        self.command("Input.insertText", text=words)

    def findings(self) -> list[str]:
        """What axe-core finds that is serious or worse."""
        self.value(AXE.read_text() + ";0")
        found = self.value("axe.run().then((all) => all.violations)")
        return [
            f"{each['id']} ({each['impact']}): {node['target']} {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(home: Path) -> Iterator[Page]:
    """Start the browser with a profile of its own below `home`."""
    assert BROWSER is not None
    to_it, from_us = os.pipe()
    from_it, to_us = os.pipe()
    to_us, from_it = from_it, to_us
    words = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-extensions", "--disable-background-networking", "--remote-debugging-pipe",
        # Keys that come before the first picture is drawn would be dropped.
        "--allow-pre-commit-input", f"--user-data-dir={home / 'profile'}",
    ]  # fmt: skip
    # It reads commands from 3 and answers on 4.
    script = f'exec 3<&{to_it} 4>&{from_it}; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", script, "browser", *words],
        pass_fds=(to_it, from_it),
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_it)
    os.close(from_it)
    try:
        yield Page(to_us, from_us)
    finally:
        process.kill()
        process.wait()
        os.close(to_us)
        os.close(from_us)
