"""`[pools.NAME]`: what config says, and every fault with its place and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.config.loading import load_config
from console.config.references import job_patterns
from console.domain.settings import DeclaredPool
from console.store.config_documents import declared_json, parse_declared
from tests.config.test_config import GOOD, faults

TEXT = '\n[pools.etl02]\njobs = ["dwh/*"]\nslots = 4\n'


def test_a_pool_has_jobs_and_slots_and_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(GOOD + TEXT)
    config = load_config(file)
    assert (
        (DeclaredPool("etl02", ("dwh/*",), 4),)
        == config.declared.pools
        == parse_declared(declared_json(config.declared)).pools
    )
    assert "dwh/*" in job_patterns(config)


@pytest.mark.parametrize(
    "table, problem",
    [
        ('jobs = ["dwh/*"]\nslots = 0', "pools.p.slots"),
        ("slots = 2", "pools.p"),
        ('jobs = ["nowhere"]\nslots = 2', 'pools.p.jobs: "nowhere" fits no job name. Write system/native-id'),
    ],
)
def test_a_pool_of_nothing_is_a_fault(tmp_path: Path, table: str, problem: str) -> None:
    assert problem in str(faults(tmp_path, f"{GOOD}\n[pools.p]\n{table}\n"))
