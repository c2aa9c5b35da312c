"""Slurm over SSH, by its own commands. Sources: squeue(1), sacct(1), scontrol(1), sbatch(1); measured on 22.05.8."""

from __future__ import annotations

import os

from connectors.contract import Capability, ConnectorKind, Proof, Secrets, Shell, Verb
from connectors.parts import PartedConnector
from connectors.slurm.acts import SlurmActs
from connectors.slurm.choice import Choice
from connectors.slurm.client import SlurmClient
from connectors.slurm.hold import Holds
from connectors.slurm.inventory import Jobs
from connectors.slurm.log import log
from connectors.slurm.options import SlurmOptions
from connectors.slurm.poll import Polls
from connectors.slurm.probe import probe
from connectors.slurm.rerun import Reruns
from connectors.transport.hosts import Session, targets
from connectors.transport.ssh_shell import ssh_shell
from connectors.transport.ways import address, session_of


class SlurmConnector(PartedConnector):
    """One cluster, through one host that has its commands."""

    def __init__(self, options: SlurmOptions, target: str, secrets: Secrets, session: Session | None = None) -> None:
        client = SlurmClient(options, session or session_of(options, target, secrets))
        choice = Choice(options, target)
        polls, holds = Polls(client, choice), Holds(client, choice)
        jobs = Jobs(client, choice, polls)
        super().__init__(
            client,
            inventory=jobs.inventory,
            poll=polls.poll,
            log=lambda run, start, limit_bytes: log(client, run, start, limit_bytes),
            acts=SlurmActs(client, choice, Reruns(client, choice, jobs), holds),
            holds=holds.holds,
            probe=lambda: probe(client, choice),
        )


def open_shell(options: SlurmOptions, target: str, secrets: Secrets) -> Shell:
    """A login on the host; on this machine the person's own shell, as the engine's user would have it."""
    if options.host(target).local:
        return Shell((os.environ.get("SHELL") or "/bin/sh", "-l"))
    return ssh_shell(address(options, target, secrets))


CONNECTOR = ConnectorKind(
    kind="slurm",
    title="Slurm over SSH",
    options=SlurmOptions,
    targets=targets,
    open=SlurmConnector,
    capabilities=frozenset(
        {
            Capability.RERUN,
            Capability.START,
            Capability.CANCEL,
            Capability.HOLD,
            Capability.LOG,
            Capability.NATIVE_DEPENDENCIES,
        }
    ),
    missing={
        Capability.MARK: "Slurm sets no state by hand; Headway asserts it itself",
        Capability.TASKS: "the tasks of an array are told as parts of its run, and job steps not at all",
        Capability.PERIODS: "Slurm gives a job no date: whenever it runs, it runs for now",
    },
    proofs=frozenset({Proof.FULL}),
    schedules="expression",
    ladder=(
        "Each job id is a run, an array with all its tasks too (PARTIAL where some failed), and what is requeued is a"
        " further attempt of it. Accounting (slurmdbd) proves start, end and exit code; slurmctld tells what waits,"
        " why, and what will never run (DependencyNeverSatisfied). Without accounting ends are known only as long as"
        " slurmctld keeps them (MinJobAge), and the outcome of an array is UNKNOWN."
    ),
    verbs={
        Verb.RERUN: "requeue, or submit its kept script anew",
        Verb.START: "submit the script of its newest run anew",
        Verb.CANCEL: "scancel",
        Verb.HOLD: "hold what waits",
        Verb.RELEASE: "release",
    },
    shell=open_shell,
)
