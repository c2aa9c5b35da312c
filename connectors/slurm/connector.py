"""Slurm over SSH, by its own commands, as a connector; with permissions and logs.

Sources: squeue(1), sacct(1), scontrol(1), sbatch(1); measured on 22.05.8. A log is the file that Slurm wrote StdOut to,
then that of StdErr where it is another, in chunks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import reference_row
from connectors.sdk.log_chunks import byte_offset
from connectors.sdk.records import LogChunk, RunRef
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.hosts import HostSession, open_shell, session_of, targets
from connectors.sdk.transport.script_output import host_now, text_of
from connectors.slurm import parse
from connectors.slurm.actions import MISSING, SlurmActions, SlurmHolds, SlurmReruns
from connectors.slurm.client import OPERATORS, SlurmClient, call, level_of
from connectors.slurm.options import JobSelection, SlurmOptions
from connectors.slurm.parse import SlurmAnswer
from connectors.slurm.polling import SlurmInventory, SlurmPoller

PATTERN = re.compile(r"%(\d*)([%AajJuxNnst])")
OUTPUT_OPTION = re.compile(r"(?:^|\s)(?:-o\s*|--output[=\s])(\S+)")
ERROR_OPTION = re.compile(r"(?:^|\s)(?:-e\s*|--error[=\s])(\S+)")


def read_log(client: SlurmClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says; of an array, the output of a task that failed, or of the first."""
    ref = reference_row(run.native_ref)
    part, user = str(ref.get("part", "")), str(ref.get("user", ""))
    if not parse.base_of(part) or not user:
        raise NotSupported(f"{run.job}: no job id is known for this run, so its output cannot be found")
    offset = None if start is None else byte_offset(start)
    out, err = log_paths(parse.lines(parse.section(client.ask([call("outputs", part)]), "PATHS")), ref)
    values = (user, out, err, str(limit_bytes), "tail" if offset is None else str(offset))
    answer = client.ask([call("output", *values)])
    chunk = parse.section(answer, "CHUNK")
    size = parse.section(answer, "SIZE")
    if chunk is None or size is None:
        none = parse.section(answer, "NOFILE")
        raise NotSupported(f"{run.job} {part}: {none.rest[:300] if none else 'no output was found'}")
    data, whole = chunk.body[:limit_bytes], int(size.rest.strip() or 0)
    begin = whole - len(data) if offset is None else offset
    end = begin + len(data)
    return LogChunk(text_of(data), str(end), end < whole and bool(data), begin > 0 or end < whole)


def log_paths(reported: list[str], ref: Mapping[str, Any]) -> tuple[str, str]:
    """Where StdOut and StdErr went: as slurmctld knows; else by the command line, the script, Slurm's own default."""
    live = {line[:6]: line[7:] for line in reported if line.startswith(("StdOut=", "StdErr="))}
    if live.get("StdOut"):
        return live["StdOut"], live.get("StdErr", "")
    directives = [line.removeprefix("#SBATCH") for line in reported if line.startswith("#SBATCH")]
    texts = [str(ref.get("line", "")), *directives]

    def requested(pattern: re.Pattern[str]) -> str:
        matches = (pattern.search(text) for text in texts)
        return next((match[1].strip("\"'") for match in matches if match), "")

    default = "slurm-%A_%a.out" if "_" in str(ref.get("part", "")) else "slurm-%j.out"
    error_path = requested(ERROR_OPTION)
    return _path(requested(OUTPUT_OPTION) or default, ref), _path(error_path, ref) if error_path else ""


def _path(pattern: str, ref: Mapping[str, Any]) -> str:
    """Source: FILENAME PATTERN of sbatch(1). A part's own id (%j of an array) is not kept: its path has it."""
    base, _, task = str(ref.get("part", "")).partition("_")
    user, name = str(ref.get("user", "")), str(ref.get("name", ""))
    values = {"%": "%", "A": base, "a": task, "j": base, "J": base, "u": user, "x": name}

    def value(result: re.Match[str]) -> str:
        text = values.get(result[2], "0")
        return text.zfill(min(int(result[1] or 0), 10)) if text.isdigit() else text

    path = PATTERN.sub(value, pattern)
    return path if path.startswith("/") else f"{str(ref.get('dir', '')).rstrip('/')}/{path}"


MOST_USERS = 20
MAKE_OPERATOR = "sacctmgr modify user {} set adminlevel=Operator"


def probe(client: SlurmClient, selection: JobSelection) -> Probe:
    """Raises SystemUnreachable where neither slurmctld nor accounting answers."""
    before = datetime.now(UTC)
    since = int(before.timestamp()) - client.options.history_hours * 3600
    answer = client.names(max(1, since))
    host = host_now(parse.section(answer, "HOST") or answer.parts[0])
    settings = parse.settings(answer, client.where)
    waits, _, error = parse.queue(answer)
    rows = list(parse.name_rows(answer))
    has_rows = any(mark == "=" and row == ["0"] for mark, row in rows)
    errors = [row[0] for mark, row in rows if mark == "!" and row]
    if error and not has_rows:
        raise parse.nothing_seen([error, *errors], client.where)
    users = {row[2] for mark, row in rows if mark == "+" and len(row) > 6 and selection.wants(row[6])}
    users |= {line.user for queued in waits.values() for line in queued}
    rights_answer = client.ask(["host", "level", *(call("may", user) for user in sorted(users)[:MOST_USERS])])
    me = (parse.section(rights_answer, "ME") or rights_answer.parts[0]).fields(2)[0]
    level = level_of(parse.section(rights_answer, "LEVEL") or rights_answer.parts[0])
    rights = [*_view(settings, me, level, error, has_rows, errors), *_act(rights_answer, me, level)]
    notes = [f"signed in as {me}" + (f" ({level})" if level not in ("None", "") else "")]
    flags = settings.get("AccountingStoreFlags", "")
    if "job_script" not in flags:
        notes.append("accounting keeps no scripts: a job that slurmctld forgot (MinJobAge) cannot be run again")
    if "job_comment" not in flags:
        notes.append("accounting keeps no comments: our reruns are known only until slurmctld forgets them (MinJobAge)")
    notes.append(f"cluster {settings.get('ClusterName', '?')}: {len(users)} users with jobs")
    return Probe(True, settings.get("SLURM_VERSION", ""), tuple(rights), tuple(notes), host.clock(before))


def _view(
    settings: Mapping[str, str], me: str, level: str, error: str, has_rows: bool, errors: list[str]
) -> Iterator[SourcePermission]:
    fix = "see that slurmctld runs, and munged on this host"
    yield SourcePermission.checked("ask slurmctld", not error, error[:200], fix)
    off = settings.get("AccountingStorageType", "").endswith("none")
    why = "accounting is off" if off else " ".join(errors)[:200] or "sacct failed"
    fix = "AccountingStorageType=accounting_storage/slurmdbd in slurm.conf; see that slurmdbd runs"
    yield SourcePermission.checked("read accounting", has_rows and not off and not errors, why, fix)
    is_hidden = parse.is_private(settings) and me != "root" and level not in OPERATORS
    why, fix = "PrivateData=jobs hides the jobs of others without an error", MAKE_OPERATOR.format(me)
    yield SourcePermission.checked("see the jobs of others", not is_hidden, why, fix)


def _act(rights: SlurmAnswer, me: str, level: str) -> Iterator[SourcePermission]:
    held = me == "root" or level not in ("None", "")
    whose = f"others' jobs ({level})" if level.startswith("coordinator") else "the jobs of others"
    name, why = f"requeue, cancel, hold and release {whose}", f"{me} is a plain user of Slurm"
    yield SourcePermission.checked(name, held, why, MAKE_OPERATOR.format(me), "act")
    for answer, user in (part.fields(2) for part in rights.parts if part.kind == "MAY"):
        fix = f"in its sudoers: {me} ALL=({user}) NOPASSWD: /usr/bin/sbatch"
        yield SourcePermission.checked(f"submit as {user}", answer == "yes", "sudo refuses it", fix, "act")


class SlurmConnector(ComposedConnector):
    def __init__(
        self, options: SlurmOptions, target: str, secrets: SecretResolver, session: HostSession | None = None
    ) -> None:
        client = SlurmClient(options, session or session_of(options, target, secrets))
        selection = JobSelection(options, target)
        polls, holds = SlurmPoller(client, selection), SlurmHolds(client, selection)
        jobs = SlurmInventory(client, selection, polls)
        super().__init__(
            client,
            inventory=jobs.inventory,
            poll=polls.poll,
            log=lambda run, start, limit_bytes: read_log(client, run, start, limit_bytes),
            acts=SlurmActions(client, selection, SlurmReruns(client, selection, jobs), holds),
            holds=holds.holds,
            probe=lambda: probe(client, selection),
        )


CONNECTOR = ConnectorKind(
    kind="slurm",
    title="Slurm over SSH",
    options=SlurmOptions,
    targets=targets,
    open=SlurmConnector,
    capabilities=frozenset(Capability) - set(MISSING),
    missing=MISSING,
    proofs=frozenset({ProofLevel.FULL}),
    schedules="expression",
    ladder=(
        "Each job id is a run, an array with all its tasks too (PARTIAL where some failed), and what is requeued is a"
        " further attempt of it. Accounting (slurmdbd) proves start, end and exit code; slurmctld shows waiting jobs,"
        " why they wait, and which never run (DependencyNeverSatisfied). Without accounting ends are known only as long"
        " as slurmctld keeps them (MinJobAge), and the outcome of an array is UNKNOWN."
    ),
    verbs={
        Verb.RERUN: "requeue, or submit its stored script again",
        Verb.START: "submit the script of its newest run again",
        Verb.CANCEL: "scancel",
        Verb.HOLD: "hold waiting submissions",
        Verb.RELEASE: "release",
    },
    shell=open_shell,
)
