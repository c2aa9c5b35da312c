"""GitHub's own OpenAPI description as a validator: prism runs between a connector and our fake, and logs whatever
a request or an answer has that the description does not allow.

Description and prism come from npm, once, into the user's cache folder; only the used part of the description is
kept."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.github import STORE, FakeGitHub
from tests.lab.process import HANGS_SECONDS, Daemon, ask, clean_environment, free_port
from tests.lab.venvs import CACHE, call, only_one

DESCRIPTION = "@octokit/openapi@23.0.2"
# the newest prism that runs on Node 18, Debian 12's; its own ranges take parts that do not
PRISM = (
    "@stoplight/prism-cli@5.14.2", "@stoplight/prism-http-server@5.12.2", "@stoplight/prism-http@5.12.0",
    "@stoplight/prism-core@5.8.0",
)  # fmt: skip
FOLDER = CACHE / "github-described-23.0.2-prism-5.14.2"
PRUNED = FOLDER / "actions.json"
PATHS = ("/user", "/repos/{owner}/{repo}", "/repos/{owner}/{repo}/contents/{path}")
BELOW = "/repos/{owner}/{repo}/actions/"


def made() -> Path:
    """The folder with prism and the description, made first where it is missing (about a minute)."""
    with only_one():
        if not PRUNED.exists():
            shutil.rmtree(FOLDER, ignore_errors=True)
            FOLDER.mkdir(parents=True)
            npm = ["npm", "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--ignore-scripts"]
            call([*npm, DESCRIPTION, *PRISM])
            package = FOLDER / "node_modules/@octokit/openapi"
            whole = json.loads((package / "generated/api.github.com.json").read_text(encoding="utf-8"))
            PRUNED.write_text(json.dumps(pruned(whole)), encoding="utf-8")
            shutil.rmtree(package)  # half a gigabyte, of which a megabyte is used
    return FOLDER


def pruned(whole: dict[str, Any]) -> dict[str, Any]:
    """The used paths and all that they refer to. Two parameters are changed: `created` takes a range, by its own
    description, and is a date-time there; `workflow_id` is an integer or a text, exactly one of both, and every integer
    in a path is also a text."""
    paths = {path: row for path, row in whole["paths"].items() if path in PATHS or path.startswith(BELOW)}
    stored: dict[str, dict[str, Any]] = {"securitySchemes": whole["components"].get("securitySchemes", {})}
    todo: list[Any] = [paths]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo += item
        elif isinstance(item, dict):
            todo += item.values()
            reference = item.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/components/"):
                _, _, section, name = reference.split("/")
                if name not in stored.setdefault(section, {}):
                    stored[section][name] = whole["components"][section][name]
                    todo.append(stored[section][name])
    del stored["parameters"]["created"]["schema"]["format"]
    workflow = stored["parameters"]["workflow-id"]["schema"]
    workflow["anyOf"] = workflow.pop("oneOf")
    return {**{name: whole[name] for name in ("openapi", "info", "servers")}, "paths": paths, "components": stored}


class PrismValidator:
    """Prism before the fake of the present test. `violations`: what it found since they were last taken."""

    def __init__(self, prism: str) -> None:
        self._prism = prism
        self.fake: FakeGitHub | None = None
        self.violations: list[str] = []
        self.judged = 0
        self.client = httpx.Client(trust_env=False, timeout=HANGS_SECONDS)

    def transport(self, fake: FakeGitHub) -> httpx.BaseTransport:
        """Sends a connector's requests to this fake past the validator."""
        return _Past(self, fake)

    def send(self, request: httpx.Request, fake: FakeGitHub) -> httpx.Response:
        """As the fake answers; what is wrong with it, or with the request, is noted."""
        self.fake = fake
        path = request.url.path.removeprefix("/")
        before, result, file = path.partition("/contents/")
        path = f"{before}{result}{file.replace('/', '%2F')}"  # the description has one segment for a whole path
        query = f"?{request.url.query.decode()}" if request.url.query else ""
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "if-none-match")}
        url = f"{self._prism}/{path}{query}"
        answer = self.client.request(request.method, url, headers=headers, content=request.read())
        self.judged += 1
        for document in json.loads(answer.headers.get("sl-violations", "[]")):
            if not _is_about_an_error(document, answer.status_code):
                self.violations.append(f"{request.method} /{path}{query}: {answer.status_code}: {document}")
        stored = {
            k: v for k, v in answer.headers.items() if k not in ("content-encoding", "content-length", "sl-violations")
        }
        return httpx.Response(answer.status_code, headers=stored, content=answer.content)


def _is_about_an_error(violation: dict[str, Any], status: int) -> bool:
    """The description lacks most of the refusals in GitHub's own pages."""
    return status >= 400 and "status code" in violation["message"]


class _Past(httpx.BaseTransport):
    """A connector's transport. Logs go past the judge: prism follows their redirect itself."""

    def __init__(self, validator: PrismValidator, fake: FakeGitHub) -> None:
        self._validate, self._fake = validator, fake

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == STORE or request.url.path.endswith("/logs"):
            return self._fake.handle(request)
        return self._validate.send(request, self._fake)


@contextmanager
def running_validator(folder: Path) -> Iterator[PrismValidator]:
    """A judge who sits; ended with the block. LabError where it does not start."""
    home, port = made(), free_port()
    sitting = PrismValidator(f"http://127.0.0.1:{port}")
    server = _server(sitting)
    upstream = f"http://127.0.0.1:{server.server_address[1]}"
    prism = str(home / "node_modules/.bin/prism")
    argv = ["node", prism, "proxy", "-h", "127.0.0.1", "-p", str(port), str(PRUNED), upstream]
    daemon = Daemon(argv, folder / "prism.log", clean_environment())
    daemon.start()
    try:
        daemon.wait_ready(lambda: _listens(port), f"prism on port {port}")
        yield sitting
    finally:
        daemon.stop(5)
        sitting.client.close()
        server.shutdown()
        server.server_close()


def _server(sitting: PrismValidator) -> ThreadingHTTPServer:
    """The fake of the present test, on a port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            if sitting.fake is None:  # the look whether prism listens
                self.send_error(503)
                return
            url = f"https://api.github.com{self.path.replace('%2F', '/')}"
            response = sitting.fake.handle(
                httpx.Request(self.command, url, headers=dict(self.headers), content=content)
            )
            self.send_response_only(response.status_code)
            for name, value in response.headers.items():
                if name != "content-length":
                    self.send_header(name, value)
            if response.status_code not in (204, 304):
                self.send_header("content-length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, name="fake GitHub", daemon=True).start()
    return server


def _listens(port: int) -> bool:
    try:
        ask("GET", f"http://127.0.0.1:{port}/user")
    except httpx.HTTPError:
        return False
    return True
