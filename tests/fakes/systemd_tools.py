"""A fake of systemctl, journalctl and systemd-cat: what they print is shaped as systemd 252 documents it.

Called as `python systemd_tools.py TOOL STATE ARGUMENTS…`; STATE is a folder with units.json and journal.jsonl. Nothing
here runs for real: a started service ends at once as its unit says, or hangs until it is stopped.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # hundreds of processes start with this module: each import here costs them all
    from typing import Any

IDS = {
    "starting": "7d4958e842da4a758f6c1cdc7b36dcc5", "started": "39f53479d3a045ac8e11786248231fbf",
    "start failed": "be02cf6855d2428ba40df7e9d022f03d", "exited": "98e322203f7a4ed290d09fe03c09fe15",
    "success": "7ad2d189f7e94e70a38c781354912448", "failure": "d9b373ed55a64feb8242e02dbe79a49c",
    "stopping": "de5b426a63be47a7b6ac3eaac82e2f6f", "skipped": "0e4284a0caca4bfc81c0bb6786972673",
    "restarting": "5eb03494b6584870a536b337290809b3",
}  # fmt: skip
BOOT = "b" * 32


class World:
    """The state of one host."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.units_file, self.journal_file = os.path.join(folder, "units.json"), os.path.join(folder, "journal.jsonl")
        with open(self.units_file) as file:
            self.units: dict[str, dict[str, Any]] = json.load(file)

    def save(self) -> None:
        with open(self.units_file, "w") as file:
            json.dump(self.units, file)

    def entries(self) -> list[str]:
        with open(self.journal_file, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()

    def write(self, at: float, **fields: str) -> None:
        count = len(self.entries())
        micros = str(int(at * 1_000_000))
        entry = {"__CURSOR": f"s=1;i={count:x};b={BOOT}", "__REALTIME_TIMESTAMP": micros, "_BOOT_ID": BOOT, **fields}
        with open(self.journal_file, "a") as file:
            file.write(json.dumps(entry) + "\n")

    def life(self, what: str, unit: str, at: float, **fields: str) -> None:
        invocation = self.units[unit]["InvocationID"]
        line = {"MESSAGE_ID": IDS[what], "MESSAGE": f"{unit}: {what}", "UNIT": unit, "INVOCATION_ID": invocation}
        self.write(at, **{**line, **fields})

    def run(self, unit: str, at: float, took: float = 2.0) -> str:
        """The service is started, by its timer or by somebody; it ends as its unit says. Its invocation."""
        item = self.units[unit]
        item["InvocationID"] = os.urandom(16).hex()
        item.update(ActiveState="activating", SubState="start", Result="success", ExecMainCode="0", ExecMainStatus="0")
        item.update(ExecMainStartTimestamp=f"@{int(at)}", ExecMainExitTimestamp="")
        self.life("starting", unit, at)
        self.write(at, MESSAGE=f"{unit} works", _SYSTEMD_INVOCATION_ID=item["InvocationID"])
        if (ends := item["_ends"]) != "hangs":
            self.end(unit, ends, at + took)
        self.save()
        return str(item["InvocationID"])

    def end(self, unit: str, ends: str, at: float) -> None:
        item = self.units[unit]
        item["ExecMainExitTimestamp"] = f"@{int(at)}"
        if ends == "well":
            item.update(ActiveState="inactive", SubState="dead", ExecMainCode="1", ExecMainStatus="0")
            self.life("success", unit, at)
            self.life("started", unit, at, JOB_RESULT="done")
        elif ends == "exec-condition":
            item.update(ActiveState="inactive", SubState="dead", Result=ends)
            self.life("skipped", unit, at, UNIT_RESULT=ends)
            self.life("started", unit, at, JOB_RESULT="done")
        elif ends.startswith("exit "):
            item.update(ActiveState="failed", SubState="failed", ExecMainCode="1", ExecMainStatus=ends[5:])
            item["Result"] = "exit-code"
            self.life("exited", unit, at, EXIT_CODE="exited", EXIT_STATUS=ends[5:])
            self.life("failure", unit, at, UNIT_RESULT="exit-code")
            self.life("start failed", unit, at, JOB_RESULT="failed")
        else:
            item.update(ActiveState="failed", SubState="failed", Result=ends)
            self.life("failure", unit, at, UNIT_RESULT=ends)

    def stop(self, unit: str, at: float) -> None:
        self.life("stopping", unit, at, JOB_RESULT="")
        item = self.units[unit]
        item.update(ActiveState="inactive", SubState="dead", ExecMainCode="2", ExecMainStatus="15")
        item["ExecMainExitTimestamp"] = f"@{int(at)}"
        self.life("success", unit, at)
        self.save()

    def waits_to_restart(self, unit: str) -> None:
        """`Restart=on-failure`: for `RestartSec=` the service is neither failed nor started."""
        self.units[unit].update(ActiveState="activating", SubState="auto-restart")
        self.save()

    def restart(self, unit: str, at: float, ends: str) -> str:
        """The start at the end of that wait."""
        self.life("restarting", unit, at, MESSAGE=f"{unit}: Scheduled restart job, restart counter is at 1.")
        self.units[unit]["_ends"] = ends
        return self.run(unit, at)

    def refuse(self, unit: str, at: float, result: str, text: str = "") -> None:
        """A start that does not begin: its lines bear the invocation of the run before."""
        if result == "start-limit-hit":
            self.life("failure", unit, at, UNIT_RESULT=result)
            self.units[unit].update(ActiveState="failed", SubState="failed", Result=result)
            result = "failed"
        what = "started" if result == "done" else "start failed"
        self.life(what, unit, at, JOB_RESULT=result, MESSAGE=text or f"{unit}: {result}")
        self.save()

    # -- what systemctl prints ----------------------------------------------------------------------------------------
    def systemctl(self, arguments: list[str]) -> str:
        texts, units = _split(arguments)
        if "--version" in texts:
            return "systemd 252 (252.39-1~deb12u1)\n+PAM +AUDIT\n"
        if "list-timers" in texts:
            timers = [self.units[name] for name in self.timers(loaded=True)]
            rows = [
                {
                    "next": timer["_next"],
                    "left": 1,
                    "last": 0,
                    "passed": 0,
                    "unit": timer["Id"],
                    "activates": timer["Unit"],
                }
                for timer in timers
            ]
            return json.dumps(rows)
        if "list-units" in texts:
            return "".join(f"{name} loaded active waiting x\n" for name in self.timers(loaded=True))
        if "list-unit-files" in texts:
            return "".join(
                f"{name} {self.units[name]['UnitFileState']} enabled\n" for name in self.timers(loaded=False)
            )
        if "show" in texts:
            names = texts[texts.index("-p") + 1].split(",")
            if "--value" in texts:
                return "".join(f"{self.units.get(unit, {}).get(names[0], '')}\n" for unit in units)
            return "\n".join(self._block(unit, names) for unit in units)
        verb = texts[0]
        if verb == "start" and self.units[units[0]]["ActiveState"] not in ("active", "activating"):
            self.run(units[0], time.time(), 0.0)
        elif verb == "stop":
            self.stop(units[0], time.time())
        return ""

    def timers(self, loaded: bool) -> list[str]:
        """Those that are loaded (one that is disabled and stopped is not), or those that have a file."""
        result = [(name, unit) for name, unit in self.units.items() if name.endswith(".timer")]
        if loaded:
            return [
                name
                for name, item in result
                if (item["UnitFileState"], item["ActiveState"]) != ("disabled", "inactive")
            ]
        return [name for name, item in result if item["FragmentPath"]]

    def _block(self, unit: str, names: list[str]) -> str:
        item = self.units.get(unit, {"Id": unit, "LoadState": "not-found", "ActiveState": "inactive"})
        lines = []
        for name in names:
            value = item.get(name, "")
            values = value if isinstance(value, list) else [value]
            lines += [f"{name}={entry}" for entry in values]
        return "\n".join(lines) + "\n"

    # -- what journalctl prints ---------------------------------------------------------------------------------------
    def journalctl(self, arguments: list[str]) -> str:
        texts, _ = _split(arguments)
        requested = {pair for pair in texts if "=" in pair and not pair.startswith("-")}
        cursor = next((text.partition("=")[2] for text in texts if text.startswith("--after-cursor=")), "")
        since = next((float(text.partition("=@")[2]) for text in texts if text.startswith("--since=@")), 0.0)
        result, passed = [], not cursor
        for line in self.entries():
            try:
                entry = json.loads(line)
                at = int(entry["__REALTIME_TIMESTAMP"])
            except (ValueError, KeyError):  # set by a test: returned unchanged
                result.append(line)
                continue
            is_wanted = any(
                f"{name}={entry.get(name)}" in requested
                for name in ("MESSAGE_ID", "SYSLOG_IDENTIFIER", "_SYSTEMD_INVOCATION_ID")
            )
            if passed and is_wanted and at >= since * 1_000_000:
                result.append(entry["MESSAGE"] if "cat" in texts else line)
            passed = passed or entry["__CURSOR"] == cursor
        return "".join(f"{item}\n" for item in result)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def run(tool: str, state: str, arguments: list[str]) -> None:
    world = World(state)
    if tool == "systemd-cat":
        world.write(time.time(), SYSLOG_IDENTIFIER=arguments[1], MESSAGE=sys.stdin.read().strip())
    else:
        systemctl = world.systemctl(arguments) if tool == "systemctl" else world.journalctl(arguments)
        sys.stdout.write(systemctl)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    run(sys.argv[1], sys.argv[2], sys.argv[3:])
