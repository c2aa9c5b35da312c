"""A dbt without databases: writes log and artefacts as dbt 1.11 does. `python dbt_tool.py FOLDER WORDS…`; a file
`fails` in the folder names the nodes that fail, one a line."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NODES = {
    "model.shop.stg_orders": [],
    "model.shop.orders": ["model.shop.stg_orders"],
    "model.shop.daily_total": ["model.shop.orders"],
}


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def result(name: str, status: str, at: float, message: str = "") -> dict[str, Any]:
    """As recorded (tests/recordings/dbt); a node that was skipped has no times."""
    times = {"started_at": stamp(at), "completed_at": stamp(at + 1)}
    return {
        "status": status, "timing": [] if status == "skipped" else [{"name": "execute", **times}], "unique_id": name,
        "thread_id": "Thread-1 (worker)", "execution_time": 1.0, "message": message or None, "failures": None,
        "adapter_response": {"_message": "OK", "rows_affected": 3} if status == "success" else {},
    }  # fmt: skip


class Tool:
    """dbt in one project folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def manifest(self) -> None:
        nodes = {
            name: {
                "name": name.rpartition(".")[2], "resource_type": "model", "depends_on": {"macros": [], "nodes": needs},
                "original_file_path": f"models/{name}.sql", "config": {"enabled": True, "materialized": "table"},
                "checksum": {"name": "sha256", "checksum": "0" * 64},
            }
            for name, needs in NODES.items()
        }  # fmt: skip
        self.write("manifest.json", {"metadata": {"generated_at": stamp(time.time())}, "nodes": nodes})

    def write(self, name: str, value: Any) -> None:
        (self.folder / "target").mkdir(exist_ok=True)
        (self.folder / "target" / name).write_text(json.dumps(value))

    def log(self, *lines: str) -> None:
        (self.folder / "logs").mkdir(exist_ok=True)
        with (self.folder / "logs/dbt.log").open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def begin(self, command: str, at: float, invocation: str = "") -> str:
        invocation = invocation or str(uuid.uuid4())
        clock, text = stamp(at)[11:26], f"{{'quiet': 'False', 'invocation_command': {command!r}}}"
        self.log(
            f"{'=' * 30} {clock} | {invocation} {'=' * 30}",
            f"\x1b[0m{clock} [info ] [MainThread]: Running with dbt=1.11.16",
            f"\x1b[0m{clock} [debug] [MainThread]: running dbt with arguments {text}",
        )
        return invocation

    def end(self, invocation: str, command: str, at: float, results: list[dict[str, Any]], took: float = 2.0) -> None:
        """The artefact first, then the log's last lines, as dbt does it."""
        key = os.environ.get("DBT_ENV_CUSTOM_ENV_HEADWAY_ACTION", "")
        env = {"HEADWAY_ACTION": key} if key else {}
        first = next(term for term in command.split() if term in WHICH)
        metadata = {
            "invocation_id": invocation, "invocation_started_at": stamp(at), "generated_at": stamp(at + took),
            "dbt_version": "1.11.16", "env": env,
        }  # fmt: skip
        args = {"which": WHICH[first], "invocation_command": command}
        self.write("run_results.json", {"metadata": metadata, "args": args, "results": results})
        counts = {term: sum(result["status"] in states for result in results) for term, states in COUNTED.items()}
        red, clock = counts["ERROR"], stamp(at + took)[11:26]
        summary = " ".join(f"{term}={number}" for term, number in {**counts, "TOTAL": len(results)}.items())
        verdict = "failed" if red else "succeeded"
        self.log(
            f"\x1b[0m{clock} [info ] [MainThread]: Done. {summary}",
            f"\x1b[0m{clock} [debug] [MainThread]: Command `{command}` {verdict} at {clock} after {took:.2f} seconds",
        )

    def command(self, texts: list[str]) -> int:
        """What the program does when it is called."""
        at, shown = time.time(), f"dbt {' '.join(texts)}"
        fails = (self.folder / "fails").read_text().split() if (self.folder / "fails").exists() else []
        names = list(NODES)
        if "retry" in texts:
            state = json.loads((Path(texts[texts.index("--state") + 1]) / "run_results.json").read_text())
            names = [result["unique_id"] for result in state["results"] if result["status"] not in ("success", "pass")]
        elif "--select" in texts:
            names = [name for name in NODES if name.endswith("." + texts[texts.index("--select") + 1].rstrip("+"))]
        invocation = self.begin(shown, at)
        print(json.dumps({"info": {"name": "MainReportVersion", "invocation_id": invocation, "msg": "Running"}}))
        self.end(invocation, shown, at, outcomes(names, fails, at))
        return 1 if set(fails) & set(names) else 0


WHICH = {"build": "build", "run": "run", "compile": "compile", "parse": "parse", "docs": "generate", "retry": "build"}
"""What the artefact's args say of a command; as recorded, a retry has the word of the run that it retries."""
COUNTED = {"PASS": ("success", "pass"), "WARN": ("warn",), "ERROR": ("error", "fail"), "SKIP": ("skipped",)}


def outcomes(expected: list[str], fails: list[str], at: float) -> list[dict[str, Any]]:
    """Nodes in their order: what follows a failure is skipped."""
    lost: set[str] = set()
    rows = []
    for name in expected:
        status = "error" if name in fails else "skipped" if lost & set(NODES[name]) else "success"
        lost |= {name} if status != "success" else set()
        rows.append(result(name, status, at, "Binder Error: no column x" if status == "error" else ""))
    return rows


if __name__ == "__main__":
    sys.exit(Tool(Path(sys.argv[1])).command(sys.argv[2:]))
