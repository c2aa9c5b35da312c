"""Follows `collect` to the host: starting dbt once under its key, what became of that, and the log of a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any

from connectors.dbt.collect import COLOUR, HEADER, alive, look, show, states

MARKS_SECONDS = 30 * 86400


def acts_of(home: str, project: Any, since: float) -> list[Any]:
    """What we started here: its key, the run that dbt made of it, and how it ended."""
    base, found = os.path.join(home, "acts"), []
    for key in sorted(os.listdir(base)) if os.path.isdir(base) else ():
        folder = os.path.join(base, key)
        try:
            with open(os.path.join(folder, "what.json")) as file:
                what = json.load(file)
            if what["folder"] != project["folder"] or what["at"] < since:
                continue
            with open(os.path.join(folder, "output"), "rb") as file:
                output = file.read(65536)
        except (OSError, ValueError, KeyError):
            continue
        named = re.search(rb'"invocation_id": ?"([0-9a-f-]{36})"', output)
        found.append(
            {
                "key": key,
                "at": what["at"],
                "node": what.get("node"),
                "period": what.get("period"),
                "id": named.group(1).decode() if named else "",
                "exit": ended(folder),
                "said": show(COLOUR.sub(b"", output[-1000:])),
            }
        )
    return found


def ended(folder: str) -> int | None:
    try:
        with open(os.path.join(folder, "exit")) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def can(request: Any) -> Any:
    """Whether dbt can be run here now."""
    project = request["project"]
    program = shutil.which(os.path.expanduser(project["dbt"]), path=os.environ.get("PATH"))
    state = os.path.join(states(request["home"], project), request["state"]) if request["state"] else ""
    return {
        "there": os.path.isdir(project["folder"]),
        "readable": os.access(os.path.join(project["folder"], "dbt_project.yml"), os.R_OK),
        "program": program or "",
        "alive": alive(project["folder"]),
        "writable": os.access(project["folder"], os.W_OK),
        "state": bool(state) and os.path.isdir(state),
        "path": state,
        "now": time.time(),
    }


def forget(base: str) -> None:
    """Marks of more than a month ago: nobody can ask for them any more."""
    for entry in os.scandir(base):
        if time.time() - entry.stat().st_mtime > MARKS_SECONDS:
            shutil.rmtree(entry.path, ignore_errors=True)


def act(request: Any) -> Any:
    project, folder = request["project"], os.path.join(request["home"], "acts", request["key"])
    if time.time() > request["latest"]:
        return {"said": "late"}
    if os.path.exists(os.path.join(folder, "refused")):
        return {"said": "refused"}
    if alive(project["folder"]):
        return {"said": "exists" if os.path.isdir(folder) else "runs"}
    os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return {"said": "exists"}
    with open(os.path.join(folder, "what.json"), "w") as file:
        json.dump({"folder": project["folder"], "argv": request["argv"], "at": time.time(), **request["about"]}, file)
    forget(os.path.dirname(folder))
    environment = dict(os.environ, DBT_ENV_CUSTOM_ENV_HEADWAY_ACTION=request["key"])
    try:
        with open(os.path.join(folder, "output"), "wb") as output:
            subprocess.Popen(  # noqa: S603 - words that the settings have, and no shell reads them
                ["sh", "-c", '"$@"; echo $? >"$0"', os.path.join(folder, "exit"), *request["argv"]],  # noqa: S607
                cwd=project["folder"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        with open(os.path.join(folder, "refused"), "w") as file:
            file.write(str(error))
        return {"said": "refused", "why": str(error)}
    return {"said": "done"}


def marked(request: Any) -> Any:
    """Whether dbt was started under the key; `half`: somebody began to, and nobody knows how far that came."""
    folder = os.path.join(request["home"], "acts", request["key"])
    there = os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "refused"))
    begun = os.path.exists(os.path.join(folder, "output"))
    return {"found": there and begun, "half": there and not begun}


def log(request: Any) -> Any:
    """The log of one invocation: its last `limit` bytes, or `limit` bytes after `start`."""
    for name in ("dbt.log", "dbt.log.1", "dbt.log.2", "dbt.log.3"):
        path = os.path.join(request["project"]["logs"], name)
        begin, end = segment(path, request["id"].encode())
        if begin is None:
            continue
        size = end - begin
        start = max(0, size - request["limit"]) if request["start"] is None else min(request["start"], size)
        with open(path, "rb") as file:
            file.seek(begin + start)
            data = file.read(min(request["limit"], size - start))
        return {"start": start, "size": size, "data": data.hex()}
    return {"size": None}


def segment(path: str, invocation: bytes) -> tuple[int | None, int]:
    """Where the invocation's lines begin and end in a file; None where it is not there."""
    begin, at = None, 0
    try:
        with open(path, "rb") as file:
            for line in file:
                found = HEADER.match(line.rstrip(b"\n"))
                if found and found.group(2) == invocation:
                    begin = at
                elif begin is not None and found:
                    return begin, at
                elif begin is None and line.startswith(b"{") and invocation in line[:4096]:
                    begin = at
                at += len(line)
    except OSError:
        return None, 0
    return begin, at


def main(request: Any) -> Any:
    request["home"] = os.path.expanduser(request["home"])
    for project in [*request.get("projects", ()), *([request["project"]] if "project" in request else [])]:
        folder = project["folder"] = os.path.expanduser(project["folder"])
        project["target"], project["logs"] = (
            os.path.join(folder, project["target"]),
            os.path.join(folder, project["logs"]),
        )
    if request["verb"] == "look":
        answer = look(request)
        for one, project in zip(answer, request["projects"]):  # noqa: B905 - strict came with Python 3.10
            one["acts"] = acts_of(request["home"], project, time.time() - 2 * 86400)
        return answer
    return {"can": can, "act": act, "marked": marked, "log": log}[request["verb"]](request)


def run(text: str, nonce: str) -> None:
    answer = json.dumps({"now": time.time(), "user": os.environ.get("USER", ""), "answer": main(json.loads(text))})
    sys.stdout.write(f"\n\x1e{nonce} JSON\n{answer}\n\x1e{nonce} END\n")
