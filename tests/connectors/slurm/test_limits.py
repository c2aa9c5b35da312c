"""How many jobs run at once in a QOS or a partition, as a pool of the jobs that are submitted so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from connectors.sdk.errors import InvalidAnswer
from connectors.slurm import parse
from connectors.slurm.connector import SlurmConnector
from connectors.slurm.inventory import RunLimits
from connectors.slurm.options import JobSelection, SlurmOptions
from tests.fakes.login import no_secret
from tests.fakes.slurm import SlurmHost

KNOWN = RunLimits({"normal": (None, None), "batch": (8, 3), "nightly": (2, None)}, {"main": "N/A", "small": "nightly"})


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("varying", ["(a+)+$", "(a|aa)+$", "a*a*a*", "(?:_?[0-9]*)*x", "(?=(a+)+)b", "(?P<n>(a*)*)?c"])
def test_an_expression_that_may_take_too_long_on_a_name_is_refused(varying: str) -> None:
    with pytest.raises(ValueError, match=r"may take too long on a name: .* Fix: write two"):
        SlurmOptions(hosts=("hpc",), varying=varying)


@pytest.mark.parametrize(
    "varying", ["_20[0-9]{6}", "[-_]20[0-9]{6}", r"_\d+_run\d+", r"(_\d{8})?(-v[0-9]+)?$", "x{1000}", r"\.\d+|_[ap]m"]
)
def test_what_differs_from_run_to_run_is_cut_in_a_moment(varying: str) -> None:
    selection = JobSelection(SlurmOptions(hosts=("hpc",), user="headway", key="k", varying=varying), "hpc")
    began = time.process_time()
    for name in ("_1" * 64, "1" * 128, "_" * 128, "a" * 128, "_20" * 42, "1" * 100_000):
        assert len(selection.name_of(name)) <= len(name)
    assert time.process_time() - began < 2


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
