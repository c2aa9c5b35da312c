"""No file of a host is read but what it is configured for, whatever a reference, a name or a link says (F55)."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from connectors.cron.attempts import AttemptRef
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import LogChunk, RunRef
from connectors.sdk.secrets import SecretStore
from console.engine.polling.sanitize import sanitizer
from tests.connectors.cron.support import connect
from tests.fakes.ssh_local import LocalHost
from tests.rows import each_row

CANARY = "root:$6$canary"
RUN = "1795164480.77"


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "db07")
    made.log.write_text("")
    (tmp_path / "shadow").write_text(CANARY)
    return made


def spool_of(host: LocalHost) -> Path:
    return Path(str(host.options().spool))


def read(host: LocalHost, output: str) -> str:
    return end_of(host, output).text


def end_of(host: LocalHost, output: str) -> LogChunk:
    ref = RunRef("db07:x", "p", "a", json.dumps({"attempt": {}, "output": output, "lines": []}))
    return connect(host).log(ref, None, 1000, 20)


@pytest.mark.parametrize(
    "written",
    [
        "{spool}/../../shadow",
        "{spool}/../../shadow/out/1.1",
        "{spool}/me/out/../../../../shadow",
        "{spool}/me/out/1.1/../../../../../shadow",
        "{spool}/me/out/{shadow}",
        "{spool}/../x/out/1.1",
        "{spool}/me/out/1.1\n/etc/shadow",
        "{shadow}",
        "/etc/passwd",
        "/proc/self/environ",
    ],
)
def test_f55_a_reference_that_leads_out_of_the_spool_is_not_followed(host: LocalHost, written: str) -> None:
    (spool_of(host) / "me" / "out").mkdir(parents=True, exist_ok=True)
    shadow = host.log.parents[0] / "shadow"
    with pytest.raises(NotSupported, match="cron keeps no output"):
        read(host, written.format(spool=spool_of(host), shadow=shadow))


@pytest.mark.parametrize("linked", ["me", "me/out", f"me/out/{RUN}"])
def test_f55_a_link_of_a_users_own_that_leads_out_of_the_spool_is_not_followed(
    host: LocalHost, tmp_path: Path, linked: str
) -> None:
    """A user may put a link in the place of the output folder; who reads it is root, or another user."""
    elsewhere = tmp_path / "elsewhere" / "out"
    elsewhere.mkdir(parents=True)
    (elsewhere / RUN).write_text(CANARY)
    link = spool_of(host) / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to({"me": elsewhere.parent, "me/out": elsewhere}.get(linked, elsewhere / RUN))
    with pytest.raises(NotSupported, match="is absent"):
        read(host, f"{spool_of(host)}/me/out/{RUN}")


def test_f55_the_output_of_a_run_is_read_also_where_the_spool_itself_is_a_link(host: LocalHost, tmp_path: Path) -> None:
    """As the host's own administrator may have it."""
    existing = tmp_path / "big-disk"
    (existing / "me" / "out").mkdir(parents=True)
    (existing / "me" / "out" / RUN).write_text("said\n")
    spool = spool_of(host)
    if spool.exists():
        spool.rmdir()
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.symlink_to(existing)
    assert "said\n" == read(host, f"{spool}/me/out/{RUN}")


@each_row("user", ["..", "../..", ".", "a/b", ""])
def test_f55_a_name_that_is_a_path_has_no_output(user: str) -> None:
    assert not AttemptRef({}, f"/spool/{user}/out/{RUN}", ()).has_output("/spool")


def test_f33_of_a_log_of_many_megabytes_with_nul_bytes_the_end_alone_is_fetched(host: LocalHost) -> None:
    """Without a newline at its end, and with the memory of its end."""
    output = spool_of(host) / "me" / "out" / RUN
    output.parent.mkdir(parents=True)
    with output.open("wb") as file:
        file.truncate(64 * 2**20)
        file.seek(0, 2)
        file.write(b"last words\0of it")
    read(host, str(output))
    tracemalloc.start()
    try:
        chunk = end_of(host, str(output))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (True, 1000) == (chunk.cut, len(chunk.text.encode()))
    assert peak < 2**20
    shown = sanitizer(SecretStore())(chunk.text)
    assert "\0" not in shown
    assert "last words" in shown
    assert shown.endswith("of it")
