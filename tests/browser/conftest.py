"""One JupyterLab and one Chromium for all browser tests; a fresh browser context for each.

Skipped, with the reason, where playwright or Chromium is missing. CHROMIUM names the program; if it is set and
wrong, the tests fail instead, so that a build server cannot pass by testing nothing.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from widget_notebooks import chromium

CHROMIUM_ARGS = [
    "--no-sandbox",  # as root there is no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers have little of it
]
SETTINGS = {  # no news, no update check, and every cell in the page even off screen
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false", "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


class Lab:
    """A JupyterLab server on a folder of its own, with nobody's settings."""

    def __init__(self, root: Path, home: Path):
        self.root, self.token, port = root, secrets.token_hex(16), free_port()
        self.base, self.log = f"http://127.0.0.1:{port}", home / "lab.log"
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"]
        command += [f"--ServerApp.root_dir={root}", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
        command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        with self.log.open("wb") as log:
            self.proc = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(home), start_new_session=True
            )

    def api(self, path: str, method: str = "GET"):
        """Answer of the server's REST interface."""
        request = Request(f"{self.base}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"})
        body = build_opener(ProxyHandler({})).open(request, timeout=10).read()
        return json.loads(body) if body else None

    def wait(self, seconds: float = 60) -> None:
        """Until the server answers; fails with its log."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.proc.poll() is None:
            try:
                return self.api("status")
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"JupyterLab did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def sessions(self) -> set[str]:
        """Ids of the running notebooks."""
        return {session["id"] for session in self.api("sessions")}

    def end(self, sessions: set[str]) -> None:
        """Stop these notebooks' kernels: they would pile up from test to test."""
        for session in sessions:
            self.api(f"sessions/{session}", "DELETE")

    def stop(self) -> None:
        if self.proc.poll() is None:
            with suppress(OSError):  # the server is stopped all the same
                self.end(self.sessions())
            self.proc.terminate()
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.proc.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def environment(home: Path) -> dict[str, str]:
    """What a reader has, minus this machine's Jupyter settings; notebooks run in the smoke budget, on phantoms."""
    dropped = ("JUPYTER", "COVIDSEG_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    folders = ["CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR"]
    for name in folders:
        folder = home / name.lower()
        folder.mkdir(mode=0o700)
        env[f"JUPYTER{name}" if name.startswith("LAB") else f"JUPYTER_{name}"] = str(folder)
    for plugin, values in SETTINGS.items():
        path = home / "lab_settings_dir" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    env |= {"IPYTHONDIR": str(home / "ipython"), "COVIDSEG_RESULT": str(home / "result.json")}
    return env | {"COVIDSEG_BUDGET": "smoke"}


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):  # no browser, no need for a server
    server = Lab(tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("home"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium()
    if not program:
        pytest.skip("Chromium is not installed; set CHROMIUM to its path")
    assert shutil.which(program), f"CHROMIUM={program} is not a program"
    with playwright.sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=program, args=CHROMIUM_ARGS)
        yield program
        program.close()


@pytest.fixture(scope="session")
def new_page(browser, lab):
    """Context manager: an empty page in a browser of its own, and no kernel left behind."""

    @contextmanager
    def open_page():
        others = lab.sessions()
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        context.set_default_timeout(60_000)
        page = context.new_page()
        watch(page)
        try:
            yield page
        finally:
            context.close()
            lab.end(lab.sessions() - others)

    return open_page


def watch(page) -> None:
    """Let the page keep its errors in ``faults`` and count the widget messages the kernel still works on.

    An exception in a callback is shown nowhere but in the frames between page and kernel.
    """
    page.faults, page.asked, page.answered = [], 0, 0

    def sent(frame):
        page.asked += bool(re.search(rb'"msg_type": ?"comm_msg"', as_bytes(frame)))

    def received(frame):
        frame = as_bytes(frame)
        if re.search(rb'"msg_type": ?"error"', frame):
            page.faults.append(f"kernel error: {frame[-400:]!r}")
        idle = re.search(rb'"execution_state": ?"idle"', frame)
        page.answered += bool(idle and re.search(rb'"msg_type": ?"comm_msg"', frame))  # the parent's type

    def follow(socket):
        socket.on("framesent", sent)
        socket.on("framereceived", received)

    page.on("websocket", follow)
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)


def as_bytes(frame: str | bytes) -> bytes:
    return frame if isinstance(frame, bytes) else frame.encode()


@pytest.fixture
def page(new_page):
    """A page for one test."""
    with new_page() as page:
        yield page
