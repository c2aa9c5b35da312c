"""Sent to the host and run there by its own Python (3.8 or newer), which dbt needs anyway.

A look reads artefacts that changed and what was added to dbt's log. States of runs that failed are kept below `home`,
so that they can be retried after dbt has overwritten them. It imports nothing of ours, and `acts_there` follows it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from typing import Any

LOG_BYTES = 8 * 1024 * 1024
MOST_ARTEFACT_BYTES = 512 * 1024 * 1024
HEADER = re.compile(rb"^={10,} (\d\d:\d\d:\d\d\.\d+) \| ([0-9a-f-]{36}) ={10,}$")
ENDED = re.compile(rb"Command `([^`]{1,300})` (succeeded|failed) at (\d\d:\d\d:\d\d\.\d+)")
COMMAND = re.compile(rb"'invocation_command': ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
DONE = re.compile(rb"Done\. (PASS=\d+[A-Z0-9= -]*)")
FAULT = re.compile(rb"Encountered an error:?(.*)|^((?:Runtime|Compilation|Parsing|Database|Dependency|Usage) Error.*)")
STAMPED = re.compile(rb"(?:\x1b\[0m)?\d\d:\d\d:\d\d\.\d+ ")
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
RED = ("error", "fail", "runtime error", "partial success")
INVOCATION = re.compile(r"[0-9a-f-]{36}")


def stamp(path: str) -> Any:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def artefact(folder: str, name: str, known: Any, cut: Callable[[Any], Any]) -> Any:
    """What is new in an artefact: {"stamp"}, and "value" or "error"; None where it is as it was, or is not there."""
    path = os.path.join(folder, name)
    at = stamp(path)
    if at is None or at == known:
        return None
    if at[1] > MOST_ARTEFACT_BYTES:
        return {"stamp": at, "error": f"larger than {MOST_ARTEFACT_BYTES} bytes"}
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read().decode("utf-8", "replace"))
        answer = {"stamp": at, "value": cut(value)}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return {"stamp": at, "error": f"{type(error).__name__}: {str(error)[:200]}"}
    return answer if stamp(path) == at else {"stamp": None, "error": "it was written meanwhile"}


def cut_results(value: Any) -> Any:
    args = value.get("args") or {}
    kept = {key: str(args.get(key) or "")[:500] for key in ("which", "invocation_command")}
    return {
        "metadata": {
            k: v
            for k, v in value["metadata"].items()
            if k in ("invocation_id", "generated_at", "invocation_started_at", "dbt_version", "env")
        },
        "args": kept,
        "results": [cut_result(one) for one in value["results"]],
    }


def cut_result(one: Any) -> Any:
    if not isinstance(one, dict):
        return one
    kept = {
        key: one.get(key) for key in ("unique_id", "status", "failures", "execution_time", "max_loaded_at", "error")
    }
    answer = one.get("adapter_response")
    kept["adapter_response"] = (
        {k: answer.get(k) for k in ("rows_affected", "bytes_processed")} if isinstance(answer, dict) else {}
    )
    kept["message"] = str(one.get("message") or "")[:1000]
    timing = [each for each in one.get("timing") or () if isinstance(each, dict)]
    kept["timing"] = [
        {"started_at": each.get("started_at"), "completed_at": each.get("completed_at")} for each in timing
    ]
    return kept


def cut_manifest(value: Any) -> Any:
    nodes = {}
    for name, one in (value.get("nodes") or {}).items():
        config = one.get("config") or {}
        nodes[name] = {
            "name": one.get("name"),
            "type": one.get("resource_type"),
            "path": one.get("original_file_path"),
            "needs": (one.get("depends_on") or {}).get("nodes") or [],
            "sum": (one.get("checksum") or {}).get("checksum"),
            "enabled": config.get("enabled", True),
            "as": config.get("materialized"),
        }
    return {"metadata": {"generated_at": value["metadata"].get("generated_at")}, "nodes": nodes}


def log_of(project: Any, known: Any) -> Any:
    """What was added to dbt's log: its events, and where to go on. A log that was rotated is read to its end first."""
    path = os.path.join(project["logs"], "dbt.log")
    now = stamp(path)
    if now is None:
        return {"at": known, "events": [], "quiet": None, "there": False}
    events: list[Any] = []
    gone = False
    inode, offset = known or (now[2], max(0, now[1] - LOG_BYTES))
    if inode != now[2]:
        rotated = path + ".1"
        old = stamp(rotated)
        if old is not None and old[2] == inode:
            events, end = read_log(rotated, offset, old[0], inode)
            if end > offset and old[1] - offset > LOG_BYTES:
                return {"at": [inode, end], "events": events, "quiet": None, "there": True, "gone": False, "more": True}
        else:
            gone = True
        inode, offset = now[2], 0
    if offset > now[1]:
        gone, offset = True, 0
    start = offset
    found, offset = read_log(path, offset, now[0], inode)
    return {
        "at": [inode, offset],
        "events": events + found,
        "quiet": time.time() - now[0] / 1e9,
        "there": True,
        "gone": gone,
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
        event = event_of(line)
        if event is None and follows and not STAMPED.match(line):
            event = {"what": "fault", "text": show(COLOUR.sub(b"", line).strip())[:200]}
        follows = 3 if event and event["what"] == "fault" and STAMPED.match(line) else max(0, follows - 1)
        if event is not None:
            events.append(dict(event, offset=at, inode=inode, written=written / 1e9))
        at += len(line) + 1
    return events, offset + end


def event_of(line: bytes) -> Any:
    found = HEADER.match(line)
    if found:
        return {"what": "start", "id": found.group(2).decode(), "time": found.group(1).decode()}
    if line.startswith(b"{"):
        return json_event(line)
    text = COLOUR.sub(b"", line)
    found = ENDED.search(text)
    if found:
        return {
            "what": "end",
            "ok": found.group(2) == b"succeeded",
            "command": show(found.group(1)),
            "time": found.group(3).decode(),
        }
    found = COMMAND.search(text) if b"running dbt with arguments" in text else None
    if found:
        return {"what": "command", "command": show(found.group(1)[1:-1])}
    return said(text)


def said(text: bytes) -> Any:
    found = DONE.search(text)
    if found:
        return {"what": "done", "text": show(found.group(1))}
    found = FAULT.search(text)
    return (
        {"what": "fault", "text": show(text.split(b": ", 1)[-1] if b"[error]" in text else text)[:300]}
        if found
        else None
    )


def json_event(line: bytes) -> Any:
    try:
        info = json.loads(line.decode("utf-8", "replace"))["info"]
        name, message = info["name"], str(info["msg"]).encode("utf-8", "replace")
        base = {"id": str(info["invocation_id"]), "time": str(info["ts"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if name == "MainReportVersion":
        return dict(base, what="start")
    if name == "MainEncounteredError":
        return dict(base, what="fault", text=" ".join(show(message).split())[:500])
    event = event_of(COLOUR.sub(b"", message)) if name in ("MainReportArgs", "CommandCompleted", "StatsLine") else None
    return dict(event, **base) if event else None


def show(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def alive(folder: str) -> list[str]:
    """Command lines of dbt that run in this folder now; of processes whose folder we may not see, all of dbt's."""
    found = []
    for number in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not number.isdigit() or int(number) == os.getpid():
            continue
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                words = file.read(4096).split(b"\0")
        except OSError:
            continue
        if not any(os.path.basename(word) in (b"dbt", b"dbtf") for word in words[:3]):
            continue
        try:
            if (
                os.path.realpath(os.readlink(f"/proc/{number}/cwd")) != os.path.realpath(folder)
                and folder.encode() not in words
            ):
                continue
        except OSError:
            pass
        found.append(show(b" ".join(words).strip())[:200])
    return found


def states(home: str, project: Any) -> str:
    return os.path.join(home, "states", hashlib.sha256(project["folder"].encode()).hexdigest()[:16])


def keep_state(home: str, project: Any, results: Any) -> None:
    """A copy of the artefacts of a run that failed: dbt retries only what it finds in a state."""
    invocation = str(results["metadata"].get("invocation_id"))
    red = any(isinstance(one, dict) and one.get("status") in (*RED, "skipped") for one in results["results"])
    if not red or not project["keep"] or not INVOCATION.fullmatch(invocation):
        return
    there = os.path.join(states(home, project), invocation)
    if os.path.isdir(there):
        return
    os.makedirs(there + ".new", mode=0o700, exist_ok=True)
    for name in ("run_results.json", "manifest.json"):
        shutil.copyfile(os.path.join(project["target"], name), os.path.join(there + ".new", name))
    with open(os.path.join(there + ".new", "run_results.json"), "rb") as file:
        if json.load(file)["metadata"]["invocation_id"] != invocation:
            shutil.rmtree(there + ".new")
            return
    os.rename(there + ".new", there)
    kept = sorted(
        (entry for entry in os.scandir(states(home, project)) if entry.is_dir()), key=lambda one: one.stat().st_mtime
    )
    for entry in kept[: -project["keep"]]:
        shutil.rmtree(entry.path, ignore_errors=True)


ARTEFACTS = (
    ("results", "run_results.json", cut_results),
    ("sources", "sources.json", cut_results),
    ("manifest", "manifest.json", cut_manifest),
)


def look(request: Any) -> Any:
    home, answer = request["home"], []
    for project in request["projects"]:
        known = project["known"]
        one = {"name": project["name"], "there": os.path.isfile(os.path.join(project["folder"], "dbt_project.yml"))}
        target, wants = project["target"], request["wants"]
        if "log" in wants:  # before the artefact: a run whose end it tells has written that
            one["log"] = log_of(project, known.get("log"))
        for kind, name, cut in ARTEFACTS:
            one[kind] = artefact(target, name, known.get(kind), cut) if kind in wants else None
        one["has_sources"] = os.path.exists(os.path.join(target, "sources.json"))
        one["alive"] = alive(project["folder"])
        if one["results"] and "value" in one["results"]:
            try:
                keep_state(home, project, one["results"]["value"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                one["unkept"] = str(error)[:200]
        answer.append(one)
    return answer
