"""Alerts of other monitors in the evidence of an incident."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from console.domain.external_alert import ExternalAlertView
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.incidents.evidence import evidence_lines
from tests.tui.fake_reads import NOW, incident


def test_the_evidence_shows_when_a_firing_alert_was_last_reported() -> None:
    ctx = RenderContext(NOW, ZonedClock(), GlyphSet())
    started, reported = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    firing = ExternalAlertView("etl/db07", "DiskFull", "critical", "", started, None, reported)
    ended = replace(firing, name="Slow", ended=NOW - timedelta(minutes=5))
    view = replace(incident(), external_alerts=(firing, ended), external_alerts_left_out=3)
    lines = ["".join(text for text, _ in line) for line in evidence_lines(view, ctx)]
    assert f"   {ctx.hm(started)} firing, last reported {ctx.hm(reported)}  etl/db07: DiskFull (critical)" in lines
    assert f"   {ctx.hm(started)} until {ctx.hm(ended.ended)}  etl/db07: Slow (critical)" in lines
    assert "   and 3 more" in lines
