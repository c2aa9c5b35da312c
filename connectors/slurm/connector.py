"""Slurm over SSH, by its own commands, as a connector; with permissions.

Sources: squeue(1), sacct(1), scontrol(1), sbatch(1); measured on 22.05.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from connectors.sdk.action_router import ActionRouter, run_parts
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.fields import masked_head
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.hosts import HostSession, endpoint, open_shell, session_of, targets
from connectors.sdk.transport.script_output import host_now
from connectors.slurm import parse
from connectors.slurm.actions import MISSING, SlurmCanceller, SlurmReruns
from connectors.slurm.client import CONTROLLER_FIX, OPERATORS, SlurmClient, level_of
from connectors.slurm.hold import SlurmHolder
from connectors.slurm.inventory import SlurmInventory
from connectors.slurm.log import read_log
from connectors.slurm.options import JobSelection, SlurmOptions
from connectors.slurm.parse import SlurmAnswer
from connectors.slurm.runs import SlurmPoller

MAX_USERS = 20
MAKE_OPERATOR = "sacctmgr modify user {} set adminlevel=Operator"


def probe(client: SlurmClient, selection: JobSelection) -> Probe:
    """Raises SystemUnreachable where neither slurmctld nor accounting answers."""
    before = datetime.now(UTC)
    answer = client.names()
    host, settings = host_now(answer.needed("HOST")), parse.settings(answer)
    waits, _, error = parse.queue(answer)
    rows = list(parse.name_rows(answer))
    has_rows = any(mark == "=" and row == ["0"] for mark, row in rows)
    errors = [row[0] for mark, row in rows if mark == "!" and row]
    if error and not has_rows:
        raise parse.nothing_seen([error, *errors], client.where)
    users = {row[2] for mark, row in rows if mark == "+" and len(row) > 6 and selection.wants(row[6])}
    users |= {line.user for queued in waits.values() for line in queued}
    rights_answer = client.ask(["host", "level", *(("may", user) for user in sorted(users)[:MAX_USERS])])
    me, level = rights_answer.needed("ME").fields(2)[0], level_of(rights_answer.needed("LEVEL"))
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
    yield SourcePermission.checked("ask slurmctld", not error, masked_head(error, 200), CONTROLLER_FIX)
    off = settings.get("AccountingStorageType", "").endswith("none")
    why = "accounting is off" if off else masked_head(" ".join(errors), 200) or "sacct failed"
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
        polls, holder = SlurmPoller(client, selection), SlurmHolder(client, selection)
        jobs = SlurmInventory(client, selection, polls)
        reruns, canceller = SlurmReruns(client, selection, jobs), SlurmCanceller(client, selection)
        parts = run_parts(reruns, reruns, canceller, holder)
        super().__init__(
            client,
            inventory=jobs.inventory,
            poll=polls.poll,
            log=lambda run, start, limit_bytes: read_log(client, run, start, limit_bytes),
            acts=ActionRouter("Slurm", client, parts, MISSING),
            holds=holder.holds,
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
    endpoint=endpoint,
)
