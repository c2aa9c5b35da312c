"""Dependencies that the schedulers themselves told: those of the downstreams that an inventory brought."""

from __future__ import annotations

from collections.abc import Set

from console.store.wire import Wire

_STORED = (
    "SELECT d.upstream_id, d.downstream_id FROM {keys} JOIN dependency d ON d.downstream_id = k.a"
    " AND d.origin = 'native'"
)
_CHANGED = (
    "INSERT INTO meta (name, value) VALUES ('edges_seq', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


def write_native_edges(lines: Wire, job_ids: Set[int], wanted: Set[tuple[int, int]], seq: int) -> None:
    """Makes these pairs (upstream, downstream) the native dependencies of these downstreams. Who remembers dependencies
    learns of a change by `meta.edges_seq`; an inventory that brings the same again changes nothing."""
    stored = {(row[0], row[1]) for row in lines.by_keys(_STORED, "i", sorted(job_ids))}
    if stored == wanted:
        return
    lines.many(
        "DELETE FROM dependency WHERE upstream_id = ? AND downstream_id = ? AND origin = 'native'",
        sorted(stored - wanted),
    )
    lines.many(
        "INSERT INTO dependency (upstream_id, downstream_id, origin) VALUES (?, ?, 'native') ON CONFLICT DO NOTHING",
        sorted(wanted - stored),
    )
    lines.rows(_CHANGED, (str(seq),))
