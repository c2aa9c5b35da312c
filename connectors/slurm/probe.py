"""What the login may see and do here, as Slurm's own settings tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from connectors.contract import Probe, Right
from connectors.slurm import parse
from connectors.slurm.answer import Answer
from connectors.slurm.choice import Choice
from connectors.slurm.client import SlurmClient, call
from connectors.slurm.poll import clock_of
from connectors.slurm.situation import OPERATORS, level_of
from connectors.transport.answer import host_now

MOST_USERS = 20


def probe(client: SlurmClient, choice: Choice) -> Probe:
    """Raises SystemUnreachable where neither slurmctld nor accounting answers."""
    before = datetime.now(UTC)
    since = int(before.timestamp()) - client.options.history_hours * 3600
    answer = client.names(max(1, since))
    host = host_now(parse.section(answer, "HOST") or answer.parts[0])
    settings = parse.settings(answer, client.where)
    waits, _, error = parse.queue(answer)
    rows = list(parse.name_rows(answer))
    told = any(mark == "=" and row == ["0"] for mark, row in rows)
    words = [row[0] for mark, row in rows if mark == "!" and row]
    if error and not told:
        raise parse.nothing_seen([error, *words], client.where)
    users = {row[2] for mark, row in rows if mark == "+" and len(row) > 6 and choice.wants(row[6])}
    users |= {line.user for queued in waits.values() for line in queued}
    asked = sorted(users)[:MOST_USERS]
    more = client.ask(["host", "level", *(call("may", user) for user in asked)])
    me = (parse.section(more, "ME") or more.parts[0]).fields(2)[0]
    level = level_of(parse.section(more, "LEVEL") or more.parts[0])
    rights = [*_view(settings, me, level, error, told, words), *_act(more, me, level)]
    notes = [f"signed in as {me}" + (f" ({level})" if level not in ("None", "") else ""), *_kept(settings)]
    notes.append(f"cluster {settings.get('ClusterName', '?')}: {len(users)} users with jobs")
    return Probe(True, settings.get("SLURM_VERSION", ""), tuple(rights), tuple(notes), clock_of(host, before))


def _view(
    settings: Mapping[str, str], me: str, level: str, error: str, told: bool, words: list[str]
) -> Iterator[Right]:
    why = error[:200] if error else ""
    yield Right("ask slurmctld", not error, why, "see that slurmctld runs, and munged on this host" if error else "")
    off = settings.get("AccountingStorageType", "").endswith("none")
    why = "accounting is off" if off else " ".join(words)[:200] or "sacct failed"
    fix = "AccountingStorageType=accounting_storage/slurmdbd in slurm.conf; see that slurmdbd runs"
    seen = told and not off and not words
    yield Right("read accounting", seen, "" if seen else why, "" if seen else fix)
    blind = parse.is_private(settings) and me != "root" and level not in OPERATORS
    fix = f"sacctmgr modify user {me} set adminlevel=Operator"
    why = "PrivateData=jobs hides the jobs of others, and no error tells it"
    yield Right("see the jobs of others", not blind, why if blind else "", fix if blind else "")


def _act(more: Answer, me: str, level: str) -> Iterator[Right]:
    held = me == "root" or level not in ("None", "")
    whose = f"others' jobs ({level})" if level.startswith("coordinator") else "the jobs of others"
    yield Right(
        f"requeue, cancel, hold and release {whose}",
        held,
        "" if held else f"{me} is a plain user of Slurm",
        "" if held else f"sacctmgr modify user {me} set adminlevel=Operator",
        "act",
    )
    for part in more.parts:
        if part.kind == "MAY":
            answer, user = part.fields(2)
            ok = answer == "yes"
            fix = "" if ok else f"in its sudoers: {me} ALL=({user}) NOPASSWD: /usr/bin/sbatch"
            yield Right(f"submit as {user}", ok, "" if ok else "sudo refuses it", fix, "act")


def _kept(settings: Mapping[str, str]) -> Iterator[str]:
    flags = settings.get("AccountingStoreFlags", "")
    if "job_script" not in flags:
        yield "accounting keeps no scripts: a job that slurmctld forgot (MinJobAge) cannot be run again"
    if "job_comment" not in flags:
        yield "accounting keeps no comments: a rerun is known as ours only until slurmctld forgets it (MinJobAge)"
