"""Output files are controlled by their users: the file that was checked is the one that is read. The commands are
fakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.sdk.conformance.world import ref
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import LogChunk
from tests.connectors.slurm.test_recorded import connect
from tests.fakes.slurm import SlurmHost


@pytest.fixture
def hpc(tmp_path: Path) -> SlurmHost:
    return SlurmHost(tmp_path / "hpc")


def log_of(host: SlurmHost, out: Path, start: str | None = None, limit: int = 1000, err: str = "") -> LogChunk:
    owner = Path(host.folder).owner()
    host.submit("talks", "exit 1", user=owner, out=str(out), err=err)
    with_log = connect(host)
    run = next(run for run in with_log.poll("", (), 20).runs if run.job.endswith("/talks"))
    return with_log.log(ref(run), start, limit, 20)


def test_a_path_replaced_by_a_link_after_its_check_reveals_no_other_file(hpc: SlurmHost) -> None:
    own, secret, out = hpc.folder / "mine", hpc.folder / "secret", hpc.folder / "out"
    own.write_text("mine\n")
    secret.write_text("a secret\n")
    out.symlink_to(own)
    hpc.put("find", f'#!/bin/sh\n/usr/bin/find "$@"; ln -sfn {secret} {out}\n')
    assert "mine\n" == log_of(hpc, out).text
    assert secret == out.readlink(), "it was looked at, and leads elsewhere now"


def test_a_log_is_read_once_for_a_piece(hpc: SlurmHost) -> None:
    out, count = hpc.folder / "out", hpc.folder / "count"
    out.write_text("one\ntwo\n")
    hpc.put("cat", f'#!/bin/sh\necho x >>{count}\nexec /bin/cat "$@"\n')
    assert LogChunk("two\n", "8", cut=True) == log_of(hpc, out, limit=4)
    assert "x\n" == count.read_text()


def test_a_log_in_pieces_is_the_whole_of_both_files(hpc: SlurmHost) -> None:
    out, err = hpc.folder / "out", hpc.folder / "err"
    out.write_text("to out\n" * 30_000)
    err.write_text("to err\n" * 3)
    whole = f"{out.read_text()}\n--- {err}\n{err.read_text()}"
    reported, start = "", "0"
    while True:
        chunk = log_of(hpc, out, start, 100_000, str(err))
        reported += chunk.text
        if not chunk.more or chunk.next is None:
            break
        start = chunk.next
    assert whole == reported


def test_a_pipe_for_an_output_is_not_waited_for(hpc: SlurmHost) -> None:
    os.mkfifo(out := hpc.folder / "out")
    hpc.put("sudo", "#!/bin/sh\nexit 1\n")
    with pytest.raises(NotSupported, match="not there, or the login may not read it"):
        log_of(hpc, out)
