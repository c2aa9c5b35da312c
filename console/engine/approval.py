"""An action that awaits approval, as pages and chats show it before a person approves it."""

from __future__ import annotations

from datetime import tzinfo
from functools import partial

from connectors.sdk.states import Verb
from console.engine.api.requests import PreviewAction
from console.engine.endpoints import ApiFault
from console.engine.write_api import EngineCall
from console.store.queries import open_queries
from console.store.queries.audit import ApprovalView
from console.text.cleaning import clean_line
from console.timing.clock import Clock
from console.timing.formats import timestamp_text


def awaited_approval(url: str, key: str) -> ApprovalView:
    """The action, if it awaits approval. Raises ApiFault for one that is decided or has expired, NotFound and
    StoreError."""
    with open_queries(url) as queries:
        known = next((view for view in queries.approvals.list_approvals() if view.key == key), None)
        if known is not None and queries.now() <= known.until:
            return known
        action, _ = queries.actions.history_of(key)
    by = f", approved by {action.approvers}" if action.approved is not None else ""
    fault = f"it awaits no approval: it is {action.state}{by}. {action.text}".strip()
    raise ApiFault(fault, "headway action approvals", 410)


def with_preview(call: EngineCall, view: ApprovalView) -> ApprovalView:
    """The action with a preview by its scheduler; raises ApiFault, NotAllowed and StoreError if there is none."""
    if view.text:
        return view
    job_id = view.job_id if view.run_id is None else None
    request = PreviewAction(view.run_id, job_id, Verb(view.verb), dict(view.parameters))
    return view.previewed(call.answer(call.client.ask(request)))


def approved_text(view: ApprovalView, person: str) -> str:
    """ "rerun etl/load: approved by mara; sent once it is checked again": the outcome of their approval."""
    lacks = view.terms.needed > 1 and not view.terms.given
    then = "a second person must approve it too" if lacks else "sent once it is checked again"
    return f"{view.verb} {view.job}: approved by {person}; {then}"


def shown_facts(view: ApprovalView, clock: Clock, zone: tzinfo) -> list[tuple[str, str]]:
    """(label, text) of what is approved, and of what an approver weighs."""
    at = partial(timestamp_text, zone=zone)
    return [(label, clean_line(text)) for label, text in (*view.details, *view.terms.facts(at, clock.now()))]
