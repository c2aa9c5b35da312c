"""A fake of squeue, sacct, scontrol, sacctmgr, sbatch and scancel, which print as Slurm 22.05.8 printed.

Called as `python slurm_tools.py TOOL STATE ARGUMENTS…`; STATE is a folder with world.json. Nothing runs for real: what
is submitted ends at once as its script says ("exit 3"), waits ("wait"), or hangs until it is cancelled ("hang").
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]
OPEN = ("PENDING", "RUNNING")
SQUEUE = {
    "i": "part", "F": "id", "T": "state", "r": "reason", "V": "submit", "S": "start", "e": "end", "Q": "priority",
    "u": "user", "a": "account", "P": "partition", "E": "dependency", "k": "comment", "j": "name",
}  # fmt: skip
SACCT = {
    "JobID": "part", "State": "state", "ExitCode": "code", "Submit": "submit", "Start": "start", "End": "end",
    "Reason": "reason", "User": "user", "Account": "account", "Partition": "partition", "Comment": "comment",
    "QOS": "qos", "WorkDir": "dir", "JobName": "name", "SubmitLine": "line",
}  # fmt: skip
CONFIG = """\
AccountingStorageEnforce = {enforced}
AccountingStorageType   = {accounts}
AccountingStoreFlags    = job_comment,job_script
ClusterName             = lab
MinJobAge               = 300 sec
PrivateData             = {private}
SlurmUser               = slurm(64030)
SLURM_VERSION           = 22.05.8
"""


class World:
    """The state of one cluster: every try of every part, the oldest first."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "world.json"
        value = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.rows: list[Row] = value.get("rows", [])
        self.settings: dict[str, str] = value.get("settings", {"level": "Operator", "accounts": "slurmdbd"})

    def save(self) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"rows": self.rows, "settings": self.settings}))
        fresh.rename(self.file)

    def live(self) -> list[Row]:
        """Of each part its last try, where slurmctld still knows it."""
        last = {row["part"]: row for row in self.rows}
        return [row for row in last.values() if not row.get("forgotten")]

    def chosen(self, ids: str) -> list[Row]:
        """The live parts that a list of ids names."""
        names = [part.split("[")[0].rstrip("_") if "[" in part else part for part in ids.split(",")]
        return [row for row in self.live() if row["part"] in names or row["id"] in names]

    def submit(self, name: str, script: str, **more: Any) -> str:
        """The id of a new job; with tasks=("1", "2"), of an array."""
        now = int(more.pop("at", time.time()))
        number = str(1 + max((int(row["id"]) for row in self.rows), default=0))
        tasks = more.pop("tasks", ())
        plain = {
            "id": number, "name": name, "user": "etl", "account": "ops", "partition": "main", "comment": "",
            "dependency": "", "dir": "/home/etl", "line": f"sbatch -J {name}", "script": script,
            "priority": "4294901759", "qos": "normal",
        }  # fmt: skip
        for part in [f"{number}_{task}" for task in tasks] or [number]:
            row = {**plain, "part": part, **more}
            self.rows.append(row)
            self.begin(row, now)
        return number

    def begin(self, row: Row, now: int) -> None:
        """What becomes of a try that begins now."""
        row.update(submit=now, start=now, end=now, code="0:0", state="COMPLETED", reason="None")
        script = row["script"].rstrip()
        match = re.search(r"exit (\d+)$", script)
        if script.endswith("wait"):
            row.update(state="PENDING", start=now + 3600, end=0, reason="BeginTime")
        elif script.endswith("hang"):
            row.update(state="RUNNING", end=0)
        elif (
            match
            and match[1] != "0"
            and (not (of := re.search(r"task (\d+)", script)) or row["part"].endswith(f"_{of[1]}"))
        ):
            row.update(state="FAILED", code=f"{match[1]}:0", reason="NonZeroExitCode")

    def requeue(self, row: Row) -> None:
        now = max(int(time.time()), row["submit"] + 1, row["end"])
        again = dict(row)
        row.update(state="REQUEUED", end=now)
        self.rows.append(again)
        self.begin(again, now)


def options(arguments: list[str], flags: str) -> tuple[dict[str, str], list[str]]:
    """Values of the options with a value, by their letter or name; and the other words."""
    by_key: dict[str, str] = {}
    rest: list[str] = []
    texts = iter(arguments)
    for text in texts:
        if text.startswith("--"):
            name, _, value = text[2:].partition("=")
            by_key[name] = value
        elif text.startswith("-") and text[1:2] in flags:
            by_key[text[1]] = text[2:] or next(texts)
        elif text.startswith("-") and len(text) > 1:
            by_key[text[1:]] = "yes"
        else:
            rest.append(text)
    return by_key, rest


def squeue(world: World, arguments: list[str]) -> int:
    result, _ = options(arguments, "tjuApo")
    rows = world.chosen(result["j"]) if "j" in result else world.live()
    if "j" in result and not rows:
        sys.stderr.write("slurm_load_jobs error: Invalid job id specified\n")
        return 1
    if result.get("t") == "PENDING":
        rows = [row for row in rows if row["state"] == "PENDING"]
    if "u" in result:
        rows = [row for row in rows if row["user"] in result["u"].split(",")]

    def shown(row: Row, letter: str) -> str:
        value = str(row[SQUEUE[letter]]).partition(" by ")[0] if letter == "T" else row[SQUEUE[letter]]
        return "(null)" if value == "" and letter in "kE" else "N/A" if not value and letter in "Se" else str(value)

    for row in rows:
        pieces = result["o"].split("%")
        print(pieces[0] + "".join(shown(row, piece[0]) + piece[1:] for piece in pieces[1:]))
    return 0


def sacct(world: World, arguments: list[str]) -> int:
    result, _ = options(arguments, "SEjuAro")
    if world.settings.get("accounts") == "down":
        sys.stderr.write("sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection\n")
        return 1
    rows = sorted(world.rows, key=lambda row: (int(row["id"]), row["submit"]))
    if "j" in result:
        ids = result["j"].split(",")
        rows = [row for row in rows if row["id"] in ids or row["part"] in ids]
    else:
        first, last = instant(result["S"]), instant(result.get("E", "now+60"))
        rows = [
            r for r in rows if r["submit"] <= last and (not r["end"] or r["end"] >= first) and r["state"] != "PENDING"
        ]
    if "D" not in result:
        rows = list({row["part"]: row for row in rows}.values())
    if "u" in result:
        rows = [row for row in rows if row["user"] in result["u"].split(",")]
    if "B" in result:
        for row in rows:
            print(f"Batch Script for {row['part']}\n{'-' * 80}\n{row['script']}")
        return 0
    names = (result.get("format") or result["o"]).split(",")
    for row in rows:
        values = [
            str(row[SACCT[name]]) if row[SACCT[name]] or name not in ("Start", "End") else "Unknown"
            for name in names
            if name in SACCT
        ]
        print(result.get("delimiter", "|").join([*values, ""] if "p" in result else values))
    return 0


def instant(text: str) -> int:
    if text.startswith("uts"):
        return int(text[3:])
    return int(time.time()) + int(text.removeprefix("now") or 0)


def scontrol(world: World, texts: list[str]) -> int:
    verb, *rest = texts
    if world.settings.get("controller") == "down":
        sys.stderr.write("slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)\n")
        return 1
    if verb == "show" and rest[0] == "config":
        print(
            CONFIG.format(
                accounts=f"accounting_storage/{'none' if world.settings['accounts'] == 'none' else 'slurmdbd'}",
                private=world.settings.get("private", "none"),
                enforced=world.settings.get("enforced", "none"),
            )
        )
        return 0
    if verb == "show" and rest[0] == "partition":
        qos = world.settings.get("of_partition", "N/A")
        print(f"PartitionName=main AllowGroups=ALL AllocNodes=ALL Default=YES QoS={qos} DefaultTime=NONE State=UP")
        return 0
    if verb == "show":
        return show(world, [item for item in rest[1:] if item != "-o"])
    if verb == "write":
        rows = world.chosen(rest[1])
        print(rows[0]["script"] if rows else "job script retrieval failed: Invalid job id specified")
        return 0 if rows else 1
    values = dict(item.split("=", 1) for item in rest if "=" in item)
    rows = world.chosen(values.get("JobId", rest[0]))
    if not rows or world.settings["level"] != "Operator":
        sys.stderr.write(f"Access/permission denied for job {rest[0]}\n" if rows else "Invalid job id specified\n")
        return 1
    for row in rows:
        if row.get("refuses") != verb:
            change(world, verb, row, values)
        else:
            why = row.get("why", "Job is in the wrong state for job")
            sys.stderr.write(f"{why} {row['part']}\n")
    world.save()
    return int(any(row.get("refuses") == verb for row in rows))


def show(world: World, ids: list[str]) -> int:
    for row in world.chosen(ids[0]) if ids else world.live():
        spec = f' CrontabSpec="{row["crontab"]}"' if row.get("crontab") else ""
        if not ids:
            print(f"JobId={row['id']} JobName={row['name']} Requeue=1{spec} Comment={row['comment']}")
        else:
            out = row.get("out") or f"{row['dir']}/slurm-{row['part']}.out"
            print(f"JobId={row['id']}\n   Requeue=1 Restarts=0\n   StdErr={row.get('err') or out}\n   StdOut={out}")
    return 0


def change(world: World, verb: str, row: Row, values: dict[str, str]) -> None:
    if verb == "update":
        row["comment"] = values["Comment"]
    elif verb == "requeue":
        world.requeue(row)
    elif row["state"] == "PENDING":
        row["priority"] = "0" if verb == "hold" else "4294901759"
        row["reason"] = "JobHeldAdmin" if verb == "hold" else "BeginTime"


def sbatch(world: World, arguments: list[str]) -> int:
    result, _ = options(arguments, "")
    tasks = [part for part in result.get("array", "").split(",") if part]
    line = f"sbatch {' '.join(arguments)}"
    comment = result.get("comment", "")
    print(world.submit(result["job-name"], sys.stdin.read(), tasks=tasks, line=line, comment=comment))
    world.save()
    return 0


def scancel(world: World, arguments: list[str]) -> int:
    for row in world.chosen(arguments[0]):
        if row["state"] in OPEN:
            row.update(
                state="CANCELLED by 7100" if row["state"] == "RUNNING" else "CANCELLED",
                end=max(int(time.time()), row["submit"]),
            )
            row["start"] = row["start"] if row["start"] <= row["end"] else 0
    world.save()
    return 0


def sacctmgr(world: World, arguments: list[str]) -> int:
    if "qos" in arguments:
        print(world.settings.get("limits", "normal||"))
        return 0
    print(world.settings["level"])
    return 0


TOOLS = {
    "squeue": squeue,
    "sacct": sacct,
    "scontrol": scontrol,
    "sbatch": sbatch,
    "scancel": scancel,
    "sacctmgr": sacctmgr,
}


def run(tool: str, state: str, arguments: list[str]) -> int:
    return TOOLS[tool](World(Path(state)), arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
