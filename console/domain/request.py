"""Kinds of requests: everything that a person may request besides the verbs of `connectors.sdk.states`."""

from __future__ import annotations

from enum import StrEnum


class RequestKind(StrEnum):
    """Kind of a request, of its stored row and of its audit entry; `control.access` knows the role it needs."""

    PREVIEW = "preview"
    LOG = "log"
    COMPARE_LOGS = "compare logs"
    WHAT_IF = "what if"
    PROBE = "probe"
    RUN_CHECK = "run check"
    SHELL = "shell"

    APPROVE = "approve"
    WITHDRAW = "withdraw"
    ACCEPT_DRIFT = "accept drift"
    EDIT_CARD = "edit card"
    RELAX_RERUN_SAFETY = "relax rerun safety"
    """An edited card that makes reruns less cautious."""
    EXTEND = "extend"
    UNDO_COMPLETION = "undo completion"

    PROPOSE_PLAN = "propose plan"
    START_PLAN = "start plan"
    PAUSE_PLAN = "pause plan"
    RESUME_PLAN = "resume plan"
    ABORT_PLAN = "abort plan"

    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    NOTE = "note"
    ADD_SILENCE = "add silence"
    EXPIRE_SILENCE = "expire silence"
    RATE_ALERT = "rate alert"
    TEST_ALERT = "test alert"
    RETRY_ALERTS = "retry alerts"

    FREEZE = "freeze"
    THAW = "thaw"
    SHADOW_ON = "shadow on"
    SHADOW_OFF = "shadow off"
    PAUSE_POLLING = "pause polling"
    RESUME_POLLING = "resume polling"

    RELEASE_NATIVELY = "release natively"
    """Without an engine, by the marks that the schedulers report."""
    RESTORE = "restore"
    DELETE_AUDIT = "delete audit rows"
    """Those of an export."""
