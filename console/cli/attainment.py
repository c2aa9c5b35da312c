"""How often services kept their promises, as lines and cells: `headway services --attainment`."""

from __future__ import annotations

from collections.abc import Sequence

from console.cli.table import Col
from console.model.attainment import Attained, Attainment
from console.model.views.services import AttainmentView

COLUMNS = (
    Col("service", 12), Col("tier", drop=3), Col("30 days"), Col("90 days", drop=2), Col("objective", drop=4),
    Col("error budget left"), Col("agreement", 12, drop=1),
)  # fmt: skip


def attainment_rows(views: Sequence[AttainmentView]) -> list[tuple[str, ...]]:
    """One line each, in their order."""
    return [
        (one.title, str(one.tier), *map(share_words, one.attainment.windows), objective_words(one.attainment),
         budget_words(one), agreement_words(one.attainment))
        for one in views
    ]  # fmt: skip


def attainment_lines(one: AttainmentView) -> list[str]:
    """The same for one service, under its names."""
    known = one.attainment
    windows = ", ".join(f"{each.days} days: {share_words(each)}" for each in known.windows)
    return [
        f"kept           {windows}",
        f"objective      {objective_words(known)}; error budget left: {budget_words(one)}",
        f"agreement      {agreement_words(known)}",
    ]


def attainment_json(one: AttainmentView) -> dict[str, object]:
    """The same as data, shares and what is left worked out."""
    known = one.attainment
    return {
        "service": one.service,
        "title": one.title,
        "tier": one.tier,
        "counted": one.counted,
        "windows": [
            {"days": each.days, "judged": each.judged, "kept": each.kept, "unknown": each.unknown, "share": each.share}
            for each in known.windows
        ],
        "slo": None
        if known.objective is None
        else {
            "objective": known.objective,
            "days": known.slo_days,
            "budget_days": known.budget,
            "budget_left_days": known.budget_left,
        },
        "sla": None
        if known.sla_allowed is None
        else {
            "days": known.sla_days,
            "allowed": known.sla_allowed,
            "missed": known.sla_missed,
            "left": known.sla_left,
        },
    }


def share_words(one: Attained) -> str:
    """ "96.7 % (29 of 30)", with what nobody can tell of; "–" where nothing was judged."""
    unknown = f", {one.unknown} unknown" if one.unknown else ""
    if one.share is None:
        return f"–{unknown}"
    return f"{one.share:.1%} ({one.kept} of {one.judged}{unknown})".replace("%", " %", 1)


def objective_words(one: Attainment) -> str:
    return "–" if one.objective is None else f"{one.objective:.4g} over {one.slo_days}d"


def budget_words(one: AttainmentView) -> str:
    """What may still be late, of what might be: "0.3 of 0.3 days", "-2.0 of 5.0 submissions: spent"."""
    left, budget = one.attainment.budget_left, one.attainment.budget
    if budget is None or left is None:
        return "–"
    return f"{left:.1f} of {budget:.1f} {one.counted}{': spent' if left < 0 else ''}"


def agreement_words(one: Attainment) -> str:
    if one.sla_allowed is None or one.sla_left is None:
        return "–"
    words = f"{one.sla_missed} late of {one.sla_allowed} allowed in {one.sla_days}d"
    return f"{words}: broken" if one.sla_left < 0 else words
