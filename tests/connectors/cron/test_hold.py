"""Holds: one line is commented out under a mark, and comes back byte for byte; what a person did is left alone."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from connectors.cron.client import script
from connectors.cron.crontab import CrontabFile, read_crontabs
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionUnknown, HoldMark, Preview
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb
from connectors.sdk.transport.script_output import ScriptSection, bytes_of, sections, text_of
from tests.connectors.cron.support import HOSTILE, Breaking, ask, connect, until
from tests.deep import few, some
from tests.fakes.ssh_local import HEADER, ME, LocalHost
from tests.properties import examples

MARK = "headway-hold id=headway-0000000000000001 by=alice until=2026-11-20T06:30:00Z"
JOB = "# headway: job\n10 3 * * * true\n"


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "db07")
    made.log.write_text("")
    return made


def holding(job: str = "db07:job", by: str = "alice") -> dict[str, str]:
    return {"by": by, "until": until()}


def previewed(host: LocalHost, verb: Verb, job: str = "db07:job", hold: str = "", enable: str = "") -> Preview:
    return connect(host).preview(ask(verb, job, holding() | {"hold": hold, "enable": enable}), 20)


def hold(host: LocalHost, job: str = "db07:job") -> str:
    """The key under which the job is held now."""
    key = new_key()
    preview = previewed(host, Verb.HOLD, job)
    assert preview.refused is None
    connect(host).act(preview, key, 20)
    return key


def release(host: LocalHost, key: str, job: str = "db07:job") -> str:
    """What the host says to a release."""
    preview = previewed(host, Verb.RELEASE, job, key)
    assert preview.refused is None
    return connect(host).act(preview, new_key(), 20).message


# -- byte for byte ----------------------------------------------------------------------------------------------------
def on_host(host: LocalHost, call: list[str], **environment: str) -> ScriptSection:
    """What the script answers to one call of its functions, run by the local shell."""
    quoted = " ".join("'" + term.replace("'", "'\\''") + "'" for term in call)
    text = f"{script('line.sh')}{script('hold.sh')}N=x RAW=\n{{ {quoted}; mark END; }} </dev/null 2>/dev/null\n"
    given_text = text.encode("utf-8", "surrogateescape")
    settings = host.environment() | environment
    done = subprocess.run(["sh", "-s"], input=given_text, capture_output=True, check=True, env=settings)
    return sections(done.stdout, "x", "here")[0]


ODD = st.binary(min_size=1, max_size=12).map(lambda data: data.replace(b"\n", b"?").replace(b"\0", b"?"))
COMMANDS = st.one_of(
    ODD,
    st.sampled_from([b"/x a\\%b%in%put", b"\ttab\t ", b"x\r", b"  y ", b"# not a comment", b"A=b c", b"'q\" $(x) `y`"]),
).filter(lambda data: bool(data.strip(b" \t")))
OTHER = st.one_of(
    st.sampled_from(
        [b"", b"  ", b"# headway: night", b"A=b", b'"X Y" = z', b"#10 3 * * * x", b"\r", b"# " + MARK.encode()]
    ),
    ODD.map(lambda data: b"#" + data),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, int]:
    """A crontab (with a user column) with at least one job, and which of its jobs is meant."""
    lines: list[bytes] = []
    jobs = 0
    for is_job in [*draw(st.lists(st.booleans(), max_size=6)), True]:
        blank = draw(st.sampled_from([b" ", b"\t", b" \t "]))
        job = blank.join([b"10", b"3", b"*", b"*", b"*", ME.encode() + b" " + draw(COMMANDS)])
        lines.append(draw(st.sampled_from([b"", b" ", b"\t"])) + job if is_job else draw(OTHER))
        jobs += is_job
    return b"\n".join(lines) + b"\n", draw(st.integers(0, jobs - 1))


@pytest.mark.deep
@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(table=tables(), ends=st.booleans(), is_system=st.booleans())
def test_held_line_is_the_same_job_paused_and_comes_back_byte_for_byte(
    host: LocalHost, table: tuple[bytes, int], ends: bool, is_system: bool
) -> None:
    data, number = table
    data = data if ends or not is_system else data[:-1]
    path = host.folder / "etc/cron.d/orders" if is_system else host.crontab
    user = None if is_system else ME
    if not is_system:
        data = data.replace(b"* " + ME.encode() + b" ", b"* ").replace(b"\\r", b"/r")
    path.write_bytes(data)
    before = read_crontabs(
        [CrontabFile(str(path), text_of(data if data.endswith(b"\n") else data + b"\n"), user)], None
    )
    held_already = [line for line in before.lines if line.mark]
    assume(not before.faults and not held_already and number < len(before.lines))
    line = before.lines[number]
    named = [str(path), "system" if is_system else "user", ME, line.hash, str(line.ordinal)]
    late = str(int(datetime.now(UTC).timestamp()) + 100)

    assert on_host(host, ["hold_line", *named, MARK, late, "run"]).kind == "DONE"
    held = path.read_bytes() if is_system else bytes_of(host.crontab_text())
    lines = data.split(b"\n")
    lines[line.number - 1 : line.number] = [held.split(b"\n")[line.number - 1], b"#" + lines[line.number - 1]]
    assert held == b"\n".join(lines), "more than the mark and one # was added"
    assert held.split(b"\n")[line.number - 1].startswith(b"# " + MARK.encode())
    now = read_crontabs([CrontabFile(str(path), text_of(held if ends else held + b"\n"), user)], None)
    expected = [replace(item, mark=MARK, bare_mark="") if item.number == line.number else item for item in before.lines]
    assert [replace(item, number=0) for item in now.lines] == [replace(item, number=0) for item in expected]

    assert on_host(host, ["hold_line", *named, MARK, late, "run"]).kind == "EXISTS"
    assert on_host(host, ["release_line", *named, "headway-0000000000000002", late, "run"]).kind == "NOMARK"
    assert on_host(host, ["release_line", *named, "headway-0000000000000001", late, "run"]).kind == "DONE"
    assert (path.read_bytes() if is_system else bytes_of(host.crontab_text())) == data


def test_mark_and_line_are_what_a_person_reads_and_can_undo(host: LocalHost) -> None:
    host.crontab.write_text("SHELL=/bin/bash\n# headway: job\n10 3 * * * /x %in\n5 4 * * * /y\n")
    key = hold(host)
    (held,) = connect(host).holds(20)
    note = "(held by Headway; to undo it by hand, delete this line and the first # of the next)"
    assert host.crontab_text() == (
        f"SHELL=/bin/bash\n# headway: job\n# {held.mark.text} {note}\n#10 3 * * * /x %in\n5 4 * * * /y\n"
    )
    assert (held.job, held.mark.id, held.mark.by) == ("db07:job", key, "alice")
    assert held.where == f"crontab of {ME} on db07, line 7", "the lines that crontab(1) adds count too"


def test_a_system_file_retains_owner_and_mode_and_leaves_no_other_file(host: LocalHost) -> None:
    path = host.folder / "etc/cron.d/orders"
    data = f"# headway: job\r\n10 3 * * * {ME}  echo \u00fc\\%\t\r\n".encode("latin1")
    path.write_bytes(data)
    path.chmod(0o640)
    (job,) = connect(host).inventory("", 20).jobs
    key = hold(host, job.native_id)
    assert [item.where for item in connect(host).holds(20)] == [f"{path} on db07, line 3"]
    assert (path.stat().st_mode & 0o777, [item.name for item in path.parent.iterdir()]) == (0o640, ["orders"])
    release(host, key, job.native_id)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (data, 0o640)


def test_copy_that_a_killed_hold_left_goes_with_a_later_one(host: LocalHost) -> None:
    path = host.folder / "etc/cron.d/orders"
    path.write_text(f"# headway: job\n10 3 * * * {ME} true\n")
    remaining_path, young = path.with_name(".headway-hold.17"), path.with_name(".headway-hold.18")
    for item in (remaining_path, young):
        item.touch()
    os.utime(remaining_path, (1, 1))
    release(host, hold(host))
    assert (remaining_path.exists(), young.exists()) == (False, True)


def test_second_of_two_equal_lines_is_held_alone(host: LocalHost) -> None:
    text = "# headway: night\n0 3 * * * echo x\n# headway: noon\n0 12 * * * echo x\n"
    host.crontab.write_text(text)
    key = hold(host, "db07:noon")
    paused = {job.native_id: job.paused for job in connect(host).inventory("", 20).jobs}
    assert paused == {"db07:night": False, "db07:noon": True}
    release(host, key, "db07:noon")
    assert host.crontab_text() == text


@pytest.mark.parametrize("number", few(range(len(HOSTILE)), 3))
def test_hostile_names_and_commands_are_held_and_released_as_data(host: LocalHost, tmp_path: Path, number: int) -> None:
    canary = tmp_path / "canary"
    evil = HOSTILE[number].format(canary=canary)
    text = f"FOO={evil}\n# headway: {evil}\n10 3 * * * : {evil}\n"
    host.crontab.write_text(text)
    (job,) = connect(host).inventory("", 20).jobs
    key = hold(host, job.native_id)
    assert [item.job for item in connect(host).holds(20)] == [job.native_id]
    release(host, key, job.native_id)
    assert host.crontab_text() == text
    assert not canary.exists()


@pytest.mark.parametrize("by", ["a b", "a\nb", "", "x" * 65, "$(id)", "alice until=2030"])
def test_owner_who_cannot_stand_in_a_mark_is_refused_before_anything_is_sent(host: LocalHost, by: str) -> None:
    host.crontab.write_text(JOB)
    with pytest.raises(NotSupported, match=rf'(?s)^db07:.*: a hold by "{re.escape(by)}"'):
        connect(host).preview(ask(Verb.HOLD, "db07:job", {"by": by, "until": until()}), 20)


@pytest.mark.parametrize("verb, parameters, text", [
    (Verb.HOLD, {"by": "alice"}, 'a hold by "alice" until ""'),
    (Verb.HOLD, {"by": "alice", "until": "soon"}, 'a hold by "alice" until "soon"'),
    (Verb.RELEASE, {}, "not the id of a hold"),
    (Verb.RELEASE, {"hold": "headway-$(id)"}, "not the id of a hold"),
])  # fmt: skip
def test_ask_without_its_parameters_is_refused(
    host: LocalHost, verb: Verb, parameters: dict[str, str], text: str
) -> None:
    host.crontab.write_text(JOB)
    with pytest.raises(NotSupported, match=text):
        connect(host).preview(ask(verb, "db07:job", parameters), 20)


def test_setting_is_no_line_that_can_be_held(host: LocalHost) -> None:
    host.crontab.write_text("SHELL=/usr/local/bin/headway-sh\n" + JOB)
    setting = read_crontabs([CrontabFile(str(host.crontab), "10 3 * * * headway-sh\n", ME)], None).lines[0]
    preview = previewed(host, Verb.HOLD)
    with pytest.raises(NotSupported, match="no longer in"):
        connect(host).act(replace(preview, plan={**preview.plan, "hash": setting.hash}), new_key(), 20)


# -- what a person did ------------------------------------------------------------------------------------------------
def test_mark_whose_line_somebody_enabled_goes_alone(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    key = hold(host)
    host.crontab.write_text(host.crontab_text().replace("#10 3", "10 3"))
    assert [(item.mark.id, item.bare) for item in connect(host).holds(20)] == [(key, True)]
    assert [job.paused for job in connect(host).inventory("", 20).jobs] == [False]
    preview = previewed(host, Verb.RELEASE, hold=key)
    assert preview.verb == "remove the mark"
    assert release(host, key).startswith("was enabled by hand before; the mark is removed")
    assert host.crontab_text() == JOB


@pytest.mark.parametrize("line", ["10 3 * * * true\n", "#10 3 * * * true\n"], ids=["enabled", "commented out again"])
def test_mark_alone_goes_and_the_line_below_it_stays_as_a_person_left_it(host: LocalHost, line: str) -> None:
    host.crontab.write_text(JOB)
    key = hold(host)
    host.crontab.write_text(host.crontab_text().replace("#10 3", "10 3"))
    preview = previewed(host, Verb.RELEASE, hold=key, enable="no")
    assert (preview.verb, preview.refused) == ("remove the mark", None)
    assert isinstance(connect(host).look_up(preview, new_key(), 20), ActionAbsent)
    host.crontab.write_text(host.crontab_text().replace("10 3 * * * true\n", line))
    assert connect(host).act(preview, new_key(), 20).message.startswith("the mark is removed")
    assert host.crontab_text() == JOB.replace("10 3 * * * true\n", line)
    assert isinstance(connect(host).look_up(preview, new_key(), 20), ActionFound)
    with pytest.raises(NotSupported, match="it was released or removed"):
        connect(host).act(preview, new_key(), 20)


def test_line_whose_mark_somebody_removed_is_theirs(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    key = hold(host)
    host.crontab.write_text("# headway: job\n#10 3 * * * true\n")
    assert connect(host).holds(20) == ()
    with pytest.raises(NotSupported, match="commented out by hand"):
        previewed(host, Verb.RELEASE, hold=key)


def test_held_line_that_somebody_changed_is_not_what_an_old_preview_releases(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    key = hold(host)
    preview = previewed(host, Verb.RELEASE, hold=key)
    text = host.crontab_text().replace("true", "false")
    host.crontab.write_text(text)
    with pytest.raises(NotSupported, match="no mark"):
        connect(host).act(preview, new_key(), 20)
    assert host.crontab_text() == text


def test_person_who_undid_it_with_an_editor_leaves_nothing_to_release(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    key = hold(host)
    host.crontab.write_text(JOB)
    assert "it was released or removed" in str(previewed(host, Verb.RELEASE, hold=key).refused)
    assert isinstance(connect(host).look_up(previewed(host, Verb.HOLD), key, 20), ActionAbsent)


def test_a_concurrent_change_is_preserved_and_nothing_is_done(host: LocalHost) -> None:
    """Somebody's editor writes between our reading and our writing."""
    host.crontab.write_text(JOB)
    preview = previewed(host, Verb.HOLD)
    host.shim("date", f'[ "$*" = +%S ] && echo "# theirs" >>"{host.crontab}"; exec /bin/date "$@"')
    with pytest.raises(NotSupported, match="changed during the edit; nothing was written"):
        connect(host).act(preview, new_key(), 20)
    assert host.crontab_text() == JOB + "# theirs\n"


def test_a_change_right_after_ours_is_an_unknown_outcome_that_is_looked_up(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    connector, key = connect(host), new_key()
    preview = previewed(host, Verb.HOLD)
    install = (host.shims / "crontab").read_text().removeprefix("#!/bin/sh\n")
    host.shim("crontab", f'{install}\ncase $* in *-l*) ;; *) echo "# theirs" >>"{host.crontab}" ;; esac')
    with pytest.raises(OutcomeUnknown, match="was changed at the same moment"):
        connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)


def test_an_answer_to_a_hold_that_is_no_known_refusal_is_an_unknown_outcome(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    preview = previewed(host, Verb.HOLD)
    host.spoil = lambda answer: answer.replace(b" DONE|", b" NEWER|")
    with pytest.raises(OutcomeUnknown, match="unknown answer of db07: NEWER"):
        connect(host).act(preview, new_key(), 20)


def test_a_write_in_the_second_of_crons_reload_waits_for_the_next(host: LocalHost) -> None:
    """cron compares whole seconds: two changes within the second of its look would be one to it."""
    host.crontab.write_text(JOB)
    preview = previewed(host, Verb.HOLD)
    host.shim("date", 'case $* in +%S) echo 01 ;; *) exec /bin/date "$@" ;; esac')
    host.crontab.touch()
    before = int(host.crontab.stat().st_mtime)
    connect(host).act(preview, new_key(), 20)
    assert int(host.crontab.stat().st_mtime) > before


# -- what the host says -----------------------------------------------------------------------------------------------
def test_a_missing_crontab_command_is_reported_in_its_own_words(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    preview = previewed(host, Verb.HOLD)
    install = (host.shims / "crontab").read_text().removeprefix("#!/bin/sh\n")
    host.shim("crontab", f'case $* in *-l*) ;; *) echo "no space left"; exit 1 ;; esac\n{install}')
    with pytest.raises(AccessRefused, match="cannot be written: no space left"):
        connect(host).act(preview, new_key(), 20)
    assert host.crontab_text() == JOB


def test_symbolic_link_is_left_to_a_person(host: LocalHost) -> None:
    real = host.folder / "orders.cron"
    real.write_text(f"# headway: job\n10 3 * * * {ME} true\n")
    (host.folder / "etc/cron.d/orders").symlink_to(real)
    assert "is a symbolic link" in str(previewed(host, Verb.HOLD).refused)


def test_hold_in_a_file_that_cron_ignores_is_still_found(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    key = hold(host)
    host.crontab.write_text(host.crontab_text() + "61 * * * * broken\n")
    assert connect(host).inventory("", 20).jobs == ()
    assert [item.mark.id for item in connect(host).holds(20)] == [key]


def test_held_line_can_be_run_once_and_stays_held(host: LocalHost, tmp_path: Path) -> None:
    host.crontab.write_text(f"# headway: job\n10 3 * * * touch {tmp_path}/ran\n")
    key = hold(host)
    preview = previewed(host, Verb.START)
    assert (preview.refused, preview.notes[-1]) == (
        None, "the line is held: it runs this once and stays held"
    )  # fmt: skip
    connect(host).act(preview, new_key(), 20)
    assert [item.mark.id for item in connect(host).holds(20)] == [key]


@pytest.mark.parametrize(
    "how, error, arrived",
    [("before", SystemUnreachable, False), ("after", OutcomeUnknown, True), ("half", OutcomeUnknown, True)],
)
@pytest.mark.parametrize("verb", [Verb.HOLD, Verb.RELEASE])
def test_a_lost_answer_is_looked_up_in_the_crontab(
    host: LocalHost, verb: Verb, how: str, error: type[Exception], arrived: bool
) -> None:
    host.crontab.write_text(JOB)
    held = hold(host) if verb == Verb.RELEASE else ""
    connector, key = connect(host, Breaking(host, how)), new_key()
    preview = previewed(host, verb, hold=held)
    with pytest.raises(error):
        connector.act(preview, key, 20)
    assert arrived is isinstance(connector.look_up(preview, key, 20), ActionFound)


def test_hold_is_absent_only_when_its_host_would_not_place_it_any_more(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    connector, key, preview = connect(host), new_key(), previewed(host, Verb.HOLD)

    def sent(seconds_ago: float) -> Preview:
        at = instant_key(datetime.now(UTC) - timedelta(seconds=seconds_ago))
        return replace(preview, plan={**preview.plan, SENT_AT: at})

    assert isinstance(connector.look_up(sent(0), key, 20), ActionUnknown)
    assert isinstance(connector.look_up(sent(160), key, 20), ActionAbsent)
    with pytest.raises(NotSupported, match="too late and nothing was done"):
        connector.act(sent(130), key, 20)
    assert host.crontab_text() == JOB
    assert HoldMark.read(host.crontab_text()) is None


# -- at the worst moment ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "is_system, tool",
    [
        *some(((False, tool) for tool in ("cksum", "cmp", "crontab")), (False, "crontab")),
        *some(((True, tool) for tool in ("cksum", "cmp", "cp", "touch", "sync", "mv")), (True, "mv")),
    ],
)
def test_host_that_dies_in_the_middle_has_the_old_crontab_or_the_held_one(
    host: LocalHost, tool: str, after: bool, is_system: bool
) -> None:
    """Each tool of the script in turn kills the shell that called it, before or after its work."""
    path = host.folder / "etc/cron.d/orders" if is_system else host.crontab
    old = f"# headway: job\n10 3 * * * {ME} true\n" if is_system else JOB
    path.write_text(old)
    connector, key, preview = connect(host), new_key(), previewed(host, Verb.HOLD)
    real = (host.shims / tool).read_text() if tool == "crontab" else f'{shutil.which(tool)} "$@"'
    dies = f"echo >{shlex.quote(str(host.folder / 'died'))}; kill -9 $PPID; exit 9"
    host.shim(tool, f"{real}\n{dies}" if after else dies)
    with contextlib.suppress(OutcomeUnknown, SystemUnreachable, AccessRefused, NotSupported):
        connector.act(preview, key, 20)
    assert (host.folder / "died").exists(), "the script does not call it"
    (host.shims / tool).unlink()
    host.shim("crontab", host.crontab_command)
    text = path.read_text().removeprefix(HEADER)
    held = [item.mark.id for item in connector.holds(20)]
    assert (text == old, held) in ((True, []), (False, [key])), text
    assert isinstance(connector.look_up(preview, key, 20), ActionFound) is bool(held)
    if held:
        release(host, key)
        assert path.read_text().removeprefix(HEADER) == old
    assert [job.paused for job in connector.inventory("", 20).jobs] == [False]


@pytest.mark.deep
def test_holds_placed_at_the_same_time_all_stand_or_are_refused(host: LocalHost) -> None:
    text = "".join(f"# headway: job{n}\n{n} 3 * * * echo {n}\n" for n in range(4))
    host.crontab.write_text(text)
    previews = {new_key(): previewed(host, Verb.HOLD, f"db07:job{n}") for n in range(4)}

    def place(key: str) -> str:
        try:
            return connect(host).act(previews[key], key, 20).native_ref
        except (NotSupported, OutcomeUnknown) as error:
            changed = "at the same moment", "during the edit"
            return "" if any(text in str(error) for text in changed) else str(error)

    with ThreadPoolExecutor(4) as pool:
        placed = sorted(filter(None, pool.map(place, previews)))
    assert placed, "nobody got through"
    assert sorted(entry.mark.id for entry in connect(host).holds(20)) == placed
    for item in connect(host).holds(20):
        release(host, item.mark.id, item.job)
    assert host.crontab_text() == text


def test_a_host_without_a_writable_temporary_folder_says_so(host: LocalHost) -> None:
    host.crontab.write_text(JOB)
    [line] = read_crontabs([CrontabFile(str(host.crontab), JOB, ME)], None).lines
    named = [str(host.crontab), "user", ME, line.hash, str(line.ordinal)]
    late = str(int(datetime.now(UTC).timestamp()) + 100)
    reply = on_host(host, ["hold_line", *named, MARK, late, "run"], TMPDIR=str(host.folder / "gone"))
    assert ("WRITE", JOB) == (reply.kind, host.crontab_text())
    assert "no temporary folder" in reply.rest
    assert "No such file" in reply.rest
