"""Notices of several incidents to one route as one message: each keeps its own alert, which says in which it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.store.alert_rows import GROUP, NewAlert, insert_alert, numbered
from console.store.wire import Wire


def leave_together(
    lines: Wire, routes: Mapping[str, tuple[str, ...]], alerts: Sequence[tuple[int, NewAlert]], now_us: int
) -> int | None:
    """One message for these alerts of one route; its alert's id. `alerts`: (id, as it was made)."""
    made = [new for _, new in alerts]
    texts = [(numbered(new.body, number), numbered(new.plain_body, number)) for number, new in alerts]
    title = f"[Headway] {len(made)} incidents: {'; '.join(_bare(one.title) for one in made)}"
    plain_title = f"[Headway] {len(made)} incidents: {'; '.join(_bare(one.plain_title) for one in made)}"
    body, plain = _joined([text for text, _ in texts]), _joined([text for _, text in texts])
    key = f"headway:group:{alerts[0][0]}"
    one = NewAlert(made[0].route, GROUP, title, body, key, plain_title, plain, waits=False)
    group_id = insert_alert(lines, routes, one, now_us)
    for alert_id, _ in alerts:
        lines.rows("UPDATE alert SET waits = ?, digest_id = ? WHERE id = ?", (False, group_id, alert_id))
        lines.rows("UPDATE delivery SET state = 'digested' WHERE alert_id = ? AND state = 'pending'", (alert_id,))
    return group_id


def _bare(title: str) -> str:
    return title.removeprefix("[Headway] ")


def _joined(bodies: Sequence[str]) -> str:
    return f"\n{'-' * 60}\n\n".join(bodies)
