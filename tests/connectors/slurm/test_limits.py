"""How many jobs run at once in a QOS or a partition, as a pool of the jobs that are submitted so."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sdk.errors import InvalidAnswer
from connectors.slurm import parse
from connectors.slurm.connector import SlurmConnector
from connectors.slurm.inventory import RunLimits
from tests.fakes.login import no_secret
from tests.fakes.slurm import SlurmHost
from tests.rows import each_row

KNOWN = RunLimits({"normal": (None, None), "batch": (8, 3), "nightly": (2, None)}, {"main": "N/A", "small": "nightly"})


@each_row(
    "partition, qos, pool",
    [
        ("main", "normal", ("", None)),
        ("main", "gone", ("", None)),
        ("main", "batch", ("qos batch, of etl", 3)),
        ("small", "normal", ("partition small", 2)),
        ("small", "batch", ("partition small", 2)),
        ("main", "nightly", ("qos nightly", 2)),
    ],
)
def test_a_job_is_in_the_tightest_pool_that_is_its(partition: str, qos: str, pool: tuple[str, int]) -> None:
    assert pool == KNOWN.tightest(partition, qos, "etl")


@pytest.fixture
def host(tmp_path: Path) -> SlurmHost:
    return SlurmHost(tmp_path / "hpc")


def pools(host: SlurmHost) -> dict[str, tuple[str, int | None]]:
    jobs = SlurmConnector(host.options(), "hpc", no_secret, host).inventory("", 30.0).jobs
    return {job.title: (job.pool, job.slots) for job in jobs}


def test_the_inventory_names_the_pool_of_each_job_but_not_of_an_array(host: SlurmHost) -> None:
    host.set(enforced="associations,limits", limits="normal|4|\nbatch||0\nodd|x|y|z")
    assert {"good": ("qos normal", 4), "bad": ("qos normal", 4), "parts": ("", None)} == pools(host)
    host.set(of_partition="batch", limits="normal|4|\nbatch|2|")
    assert ("partition main", 2) == pools(host)["good"]


def test_limits_that_are_not_enforced_are_none(host: SlurmHost) -> None:
    host.set(enforced="associations", limits="normal|4|1")
    assert {("", None)} == set(pools(host).values())


def test_an_answer_without_its_first_section_names_the_shell_of_the_login() -> None:
    answer = parse.SlurmAnswer([], "|", "hpc")
    with pytest.raises(InvalidAnswer, match=r"hpc: the answer lacks HOST\. .* Fix: give the login a POSIX sh\.$"):
        answer.needed("HOST")
    with pytest.raises(InvalidAnswer, match=r"hpc: the answer lacks ME\. Headway retries\.$"):
        answer.needed("ME")
