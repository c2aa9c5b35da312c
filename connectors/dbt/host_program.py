"""The program that runs on the host, sent there as text. Python 3.8 or newer; it imports nothing of ours.

Collecting reads artifacts that changed and what was added to dbt's log. The state of a failed run is saved below
`home`, so that it can be retried after dbt has overwritten its artifacts. Starting runs dbt once under a key and keeps
its exit status and output; log reading returns the lines of one invocation.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

LOG_BYTES = 8 * 1024 * 1024
MAX_ARTIFACT_BYTES = 512 * 1024 * 1024
MESSAGE_CHARACTERS = 1_000
FAULT_CHARACTERS = 500
ARGUMENT_CHARACTERS = 500
HEADER_LINE = re.compile(rb"^={10,} (\d\d:\d\d:\d\d\.\d+) \| ([0-9a-f-]{36}) ={10,}$")
END_LINE = re.compile(rb"Command `([^`]{1,300})` (succeeded|failed) at (\d\d:\d\d:\d\d\.\d+)")
COMMAND_LINE = re.compile(rb"'invocation_command': ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
DONE_LINE = re.compile(rb"Done\. (PASS=\d+[A-Z0-9= -]*)")
ERROR_LINE = re.compile(
    rb"Encountered an error:?(.*)|^((?:Runtime|Compilation|Parsing|Database|Dependency|Usage) Error.*)"
)
STAMPED = re.compile(rb"(?:\x1b\[0m)?\d\d:\d\d:\d\d\.\d+ ")
COLOR = re.compile(rb"\x1b\[[0-9;]*m")
FAILED_STATUSES = ("error", "fail", "runtime error", "partial success")
INVOCATION = re.compile(r"[0-9a-f-]{36}")


def file_stamp(path: str) -> Any:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino]


def read_artifact(folder: str, name: str, known: Any, cut: Callable[[Any], Any]) -> Any:
    """A changed artifact: {"stamp"}, and "value" or "error"; None where it did not change, or does not exist."""
    path = os.path.join(folder, name)
    at = file_stamp(path)
    if at is None or at == known:
        return None
    if at[1] > MAX_ARTIFACT_BYTES:
        return {"stamp": at, "error": f"larger than {MAX_ARTIFACT_BYTES} bytes"}
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read().decode("utf-8", "replace"))
        answer = {"stamp": at, "value": cut(value)}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return {"stamp": at, "error": f"{type(error).__name__}: {str(error)[:200]}"}
    return answer if file_stamp(path) == at else {"stamp": None, "error": "it was written meanwhile"}


METADATA = ("invocation_id", "generated_at", "invocation_started_at", "dbt_version", "env")
NODE_FIELDS = {"name": "name", "type": "resource_type", "path": "original_file_path"}


def cut_results(value: Any) -> Any:
    args = value.get("args") or {}
    arguments = {key: str(args.get(key) or "")[:ARGUMENT_CHARACTERS] for key in ("which", "invocation_command")}
    return {
        "metadata": {key: value["metadata"][key] for key in METADATA if key in value["metadata"]},
        "args": arguments,
        "results": [cut_result(result) for result in value["results"]],
    }


def cut_result(result: Any) -> Any:
    if not isinstance(result, dict):
        return result
    reduced = {key: result.get(key) for key in ("unique_id", "status", "failures", "error")}
    answer = result.get("adapter_response")
    response = answer if isinstance(answer, dict) else {}
    steps = [step for step in result.get("timing") or () if isinstance(step, dict)]
    return {
        **reduced,
        "adapter_response": {key: response.get(key) for key in ("rows_affected", "bytes_processed")},
        "message": str(result.get("message") or "")[:MESSAGE_CHARACTERS],
        "timing": [{key: step.get(key) for key in ("started_at", "completed_at")} for step in steps],
    }


def cut_manifest(value: Any) -> Any:
    nodes = {}
    for name, node in (value.get("nodes") or {}).items():
        config = node.get("config") or {}
        nodes[name] = {
            **{key: node.get(field) for key, field in NODE_FIELDS.items()},
            "needs": (node.get("depends_on") or {}).get("nodes") or [],
            "sum": (node.get("checksum") or {}).get("checksum"),
            "enabled": config.get("enabled", True),
            "as": config.get("materialized"),
        }
    return {"metadata": {"generated_at": value["metadata"].get("generated_at")}, "nodes": nodes}


def collect_log(project: Any, known: Any) -> Any:
    """New events of dbt's log, and the position after them. A rotated log is read to its end first."""
    path = os.path.join(project["logs"], "dbt.log")
    now = file_stamp(path)
    if now is None:
        return {"at": known, "events": [], "quiet": None, "there": False}
    events: list[Any] = []
    is_gone = False
    inode, offset = known or (now[2], max(0, now[1] - LOG_BYTES))
    if inode != now[2]:
        rotated = path + ".1"
        old = file_stamp(rotated)
        if old is not None and old[2] == inode:
            events, end = read_log(rotated, offset, old[0], inode)
            if end > offset and old[1] - offset > LOG_BYTES:
                return {"at": [inode, end], "events": events, "quiet": None, "there": True, "gone": False, "more": True}
        else:
            is_gone = True
        inode, offset = now[2], 0
    if offset > now[1]:
        is_gone, offset = True, 0
    start = offset
    added, offset = read_log(path, offset, now[0], inode)
    return {
        "at": [inode, offset],
        "events": events + added,
        "quiet": time.time() - now[0] / 1e9,
        "there": True,
        "gone": is_gone,
        "more": offset > start and now[1] - start > LOG_BYTES,
    }


def read_log(path: str, offset: int, written: int, inode: int) -> tuple[list[Any], int]:
    """Events of whole lines from `offset` on, and the offset after them."""
    events = []
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(LOG_BYTES)
    end = data.rfind(b"\n") + 1
    end = end or (len(data) if len(data) == LOG_BYTES else 0)  # a line longer than all that is read at a time
    at, follows = offset, 0
    for line in data[:end].split(b"\n")[:-1]:
        event = parse_event(line)
        if event is None and follows and not STAMPED.match(line):
            event = {"what": "fault", "text": printable(COLOR.sub(b"", line).strip())[:FAULT_CHARACTERS]}
        follows = 3 if event and event["what"] == "fault" and STAMPED.match(line) else max(0, follows - 1)
        if event is not None:
            events.append(dict(event, offset=at, inode=inode, written=written / 1e9))
        at += len(line) + 1
    return events, offset + end


def parse_event(line: bytes) -> Any:
    match = HEADER_LINE.match(line)
    if match:
        return {"what": "start", "id": match.group(2).decode(), "time": match.group(1).decode()}
    if line.startswith(b"{"):
        return parse_json_event(line)
    text = COLOR.sub(b"", line)
    match = END_LINE.search(text)
    if match:
        command, outcome, at = match.groups()
        return {"what": "end", "ok": outcome == b"succeeded", "command": printable(command), "time": at.decode()}
    match = COMMAND_LINE.search(text) if b"running dbt with arguments" in text else None
    if match:
        return {"what": "command", "command": printable(match.group(1)[1:-1])}
    match = DONE_LINE.search(text)
    if match:
        return {"what": "done", "text": printable(match.group(1))}
    if not ERROR_LINE.search(text):
        return None
    text = text.split(b": ", 1)[-1] if b"[error]" in text else text
    return {"what": "fault", "text": printable(text)[:FAULT_CHARACTERS]}


def parse_json_event(line: bytes) -> Any:
    try:
        info = json.loads(line.decode("utf-8", "replace"))["info"]
        name, message = info["name"], str(info["msg"]).encode("utf-8", "replace")
        base = {"id": str(info["invocation_id"]), "time": str(info["ts"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if name == "MainReportVersion":
        return dict(base, what="start")
    if name == "MainEncounteredError":
        return dict(base, what="fault", text=" ".join(printable(message).split())[:FAULT_CHARACTERS])
    is_known = name in ("MainReportArgs", "CommandCompleted", "StatsLine")
    event = parse_event(COLOR.sub(b"", message)) if is_known else None
    return dict(event, **base) if event else None


def printable(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def running_dbt(folder: str) -> list[str]:
    """Command lines of dbt that run in this folder now; of processes whose folder we may not see, all of dbt's."""
    processes = []
    for number in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not number.isdigit() or int(number) == os.getpid():
            continue
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                arguments = file.read(4096).split(b"\0")
        except OSError:
            continue
        if not any(os.path.basename(argument) in (b"dbt", b"dbtf") for argument in arguments[:3]):
            continue
        try:
            is_elsewhere = os.path.realpath(os.readlink(f"/proc/{number}/cwd")) != os.path.realpath(folder)
        except OSError:
            is_elsewhere = False
        if is_elsewhere and folder.encode() not in arguments:
            continue
        processes.append(printable(b" ".join(arguments).strip())[:200])
    return processes


SAVED_STATES = 5
"""States of failed runs of a project that are stored for a retry."""


def states_folder(home: str, project: Any) -> str:
    return os.path.join(home, "states", hashlib.sha256(project["folder"].encode()).hexdigest()[:16])


def save_state(home: str, project: Any, results: Any) -> None:
    """A copy of the artefacts of a run that failed: dbt retries only what it finds in a state."""
    invocation = str(results["metadata"].get("invocation_id"))
    statuses = [result.get("status") for result in results["results"] if isinstance(result, dict)]
    red = any(status in (*FAILED_STATUSES, "skipped") for status in statuses)
    if not red or not INVOCATION.fullmatch(invocation):
        return
    folder = os.path.join(states_folder(home, project), invocation)
    if os.path.isdir(folder):
        return
    os.makedirs(folder + ".new", mode=0o700, exist_ok=True)
    for name in ("run_results.json", "manifest.json"):
        shutil.copyfile(os.path.join(project["target"], name), os.path.join(folder + ".new", name))
    with open(os.path.join(folder + ".new", "run_results.json"), "rb") as file:
        if json.load(file)["metadata"]["invocation_id"] != invocation:
            shutil.rmtree(folder + ".new")
            return
    os.rename(folder + ".new", folder)
    saved = [entry for entry in os.scandir(states_folder(home, project)) if entry.is_dir()]
    saved.sort(key=lambda entry: entry.stat().st_mtime)
    for entry in saved[:-SAVED_STATES]:
        shutil.rmtree(entry.path, ignore_errors=True)


ARTIFACTS = (
    ("results", "run_results.json", cut_results),
    ("sources", "sources.json", cut_results),
    ("manifest", "manifest.json", cut_manifest),
)


def collect(request: Any) -> Any:
    home, answer = request["home"], []
    for project in request["projects"]:
        known = project["known"]
        state = {"name": project["name"], "there": os.path.isfile(os.path.join(project["folder"], "dbt_project.yml"))}
        target, wants = project["target"], request["wants"]
        if "log" in wants:  # before the artifact, which a run has written when the log reports its end
            state["log"] = collect_log(project, known.get("log"))
        for kind, name, cut in ARTIFACTS:
            state[kind] = read_artifact(target, name, known.get(kind), cut) if kind in wants else None
        state["has_sources"] = os.path.exists(os.path.join(target, "sources.json"))
        state["alive"] = running_dbt(project["folder"])
        if state["results"] and "value" in state["results"]:
            try:
                save_state(home, project, state["results"]["value"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                state["unkept"] = str(error)[:200]
        answer.append(state)
    return answer


STARTS_RETENTION_SECONDS = 30 * 86400


def recorded_starts(home: str, project: Any, since: float) -> list[Any]:
    """Runs that Headway started here: key, invocation and outcome."""
    base, starts = os.path.join(home, "acts"), []
    for key in sorted(os.listdir(base)) if os.path.isdir(base) else ():
        folder = os.path.join(base, key)
        try:
            with open(os.path.join(folder, "what.json")) as file:
                start = json.load(file)
            if start["folder"] != project["folder"] or start["at"] < since:
                continue
            with open(os.path.join(folder, "output"), "rb") as file:
                output = file.read(65536)
        except (OSError, ValueError, KeyError):
            continue
        named = re.search(rb'"invocation_id": ?"([0-9a-f-]{36})"', output)
        starts.append(
            {
                "key": key,
                "at": start["at"],
                "node": start.get("node"),
                "period": start.get("period"),
                "id": named.group(1).decode() if named else "",
                "exit": exit_status(folder),
                "said": printable(COLOR.sub(b"", output[-1000:])),
            }
        )
    return starts


def exit_status(folder: str) -> int | None:
    try:
        with open(os.path.join(folder, "exit")) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def check_start(request: Any) -> Any:
    project = request["project"]
    program = shutil.which(os.path.expanduser(project["dbt"]), path=os.environ.get("PATH"))
    state = os.path.join(states_folder(request["home"], project), request["state"]) if request["state"] else ""
    return {
        "there": os.path.isdir(project["folder"]),
        "readable": os.access(os.path.join(project["folder"], "dbt_project.yml"), os.R_OK),
        "program": program or "",
        "alive": running_dbt(project["folder"]),
        "writable": os.access(project["folder"], os.W_OK),
        "state": bool(state) and os.path.isdir(state),
        "path": state,
    }


def start_once(request: Any) -> Any:
    project, folder = request["project"], os.path.join(request["home"], "acts", request["key"])
    if time.time() > request["latest"]:
        return {"said": "late"}
    if os.path.exists(os.path.join(folder, "refused")):
        return {"said": "refused"}
    if running_dbt(project["folder"]):
        return {"said": "exists" if os.path.isdir(folder) else "runs"}
    os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return {"said": "exists"}
    with open(os.path.join(folder, "what.json"), "w") as file:
        json.dump({"folder": project["folder"], "argv": request["argv"], "at": time.time(), **request["about"]}, file)
    for entry in os.scandir(os.path.dirname(folder)):
        if time.time() - entry.stat().st_mtime > STARTS_RETENTION_SECONDS:
            shutil.rmtree(entry.path, ignore_errors=True)
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


def find_start(request: Any) -> Any:
    """Whether dbt was started under the key; `half`: a start began and its outcome is unknown."""
    folder = os.path.join(request["home"], "acts", request["key"])
    is_there = os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "refused"))
    begun = os.path.exists(os.path.join(folder, "output"))
    return {"found": is_there and begun, "half": is_there and not begun}


def read_invocation_log(request: Any) -> Any:
    """The log of one invocation: its last `limit` bytes, or `limit` bytes after `start`."""
    for name in ("dbt.log", "dbt.log.1", "dbt.log.2", "dbt.log.3"):
        path = os.path.join(request["project"]["logs"], name)
        begin, end = invocation_segment(path, request["id"].encode())
        if begin is None:
            continue
        size = end - begin
        start = max(0, size - request["limit"]) if request["start"] is None else min(request["start"], size)
        with open(path, "rb") as file:
            file.seek(begin + start)
            data = file.read(min(request["limit"], size - start))
        return {"start": start, "size": size, "data": data.hex()}
    return {"size": None}


def invocation_segment(path: str, invocation: bytes) -> tuple[int | None, int]:
    """Where the invocation's lines begin and end in a file; None where it is not there."""
    begin, at = None, 0
    try:
        with open(path, "rb") as file:
            for line in file:
                match = HEADER_LINE.match(line.rstrip(b"\n"))
                if match and match.group(2) == invocation:
                    begin = at
                elif begin is not None and match:
                    return begin, at
                elif begin is None and line.startswith(b"{") and invocation in line[:4096]:
                    begin = at
                at += len(line)
    except OSError:
        return None, 0
    return begin, at


def dispatch(request: Any) -> Any:
    request["home"] = os.path.expanduser(request["home"])
    for project in [*request.get("projects", ()), *([request["project"]] if "project" in request else [])]:
        folder = project["folder"] = os.path.expanduser(project["folder"])
        for name in ("target", "logs"):
            project[name] = os.path.join(folder, project[name])
    if request["verb"] == "look":
        answer = collect(request)
        for state, project in zip(answer, request["projects"]):  # noqa: B905 - strict came with Python 3.10
            state["acts"] = recorded_starts(request["home"], project, time.time() - 2 * 86400)
        return answer
    verbs = {"can": check_start, "act": start_once, "marked": find_start, "log": read_invocation_log}
    return verbs[request["verb"]](request)


def run(text: str, nonce: str) -> None:
    answer = json.dumps({"now": time.time(), "user": os.environ.get("USER", ""), "answer": dispatch(json.loads(text))})
    sys.stdout.write(f"\n\x1e{nonce} JSON\n{answer}\n\x1e{nonce} END\n")
