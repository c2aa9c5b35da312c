"""Checks of files on this machine."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.checks import file
from connectors.checks.queries import Measurement
from connectors.sdk.errors import SystemUnreachable


def test_a_file_reports_its_size_and_modification_time(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("12345")
    os.utime(path, (0, 1_700_000_000))
    assert Measurement(exists=True, size=5, modified=datetime.fromtimestamp(1_700_000_000, UTC)) == file.measure_local(
        str(path)
    )


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "day").write_text("x")
    (tmp_path / "latest").symlink_to(tmp_path / "day")
    assert 1 == file.measure_local(str(tmp_path / "latest")).size


@pytest.mark.parametrize("name", ["nothing", "a-file/below", "a-folder", "a-dangling-link"])
def test_what_is_no_file_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "a-dangling-link").symlink_to(tmp_path / "gone")
    assert Measurement(exists=False) == file.measure_local(str(tmp_path / name))


@pytest.mark.parametrize("path", ["/x/\0", "/" + "n" * 5000])
def test_a_path_that_no_file_can_have_is_an_error(path: str) -> None:
    with pytest.raises(SystemUnreachable):
        file.measure_local(path)
