"""Kinds of requests: everything that a person may request besides the verbs of `connectors.sdk.states`."""

from __future__ import annotations

from enum import StrEnum

from console.domain.access import Role


class RequestKind(StrEnum):
    """Kind of a request, of its stored row and of its audit entry, with the role that it needs. Stopping needs a lower
    role than starting."""

    role: Role

    def __new__(cls, text: str, role: Role) -> RequestKind:
        kind = str.__new__(cls, text)
        kind._value_, kind.role = text, role
        return kind

    PREVIEW = "preview", Role.VIEW
    LOG = "log", Role.VIEW
    COMPARE_LOGS = "compare logs", Role.VIEW
    WHAT_IF = "what if", Role.VIEW
    PROBE = "probe", Role.ACT
    RUN_CHECK = "run check", Role.ACT
    SHELL = "shell", Role.ACT

    APPROVE = "approve", Role.APPROVE
    WITHDRAW = "withdraw", Role.ACT
    ACCEPT_DRIFT = "accept drift", Role.ACT
    EDIT_CARD = "edit card", Role.ACT
    RELAX_RERUN_SAFETY = "relax rerun safety", Role.ADMIN
    """An edited card that makes reruns less cautious."""
    EXTEND = "extend", Role.ACT
    UNDO_COMPLETION = "undo completion", Role.ACT

    PROPOSE_PLAN = "propose plan", Role.VIEW
    START_PLAN = "start plan", Role.ACT
    PAUSE_PLAN = "pause plan", Role.ACT
    RESUME_PLAN = "resume plan", Role.ACT
    ABORT_PLAN = "abort plan", Role.ACT

    ACKNOWLEDGE = "acknowledge", Role.ACT
    UNACKNOWLEDGE = "unacknowledge", Role.ACT
    NOTE = "note", Role.ACT
    ADD_SILENCE = "add silence", Role.ACT
    EXPIRE_SILENCE = "expire silence", Role.ACT
    TEST_ALERT = "test alert", Role.ACT
    RETRY_ALERTS = "retry alerts", Role.ACT

    FREEZE = "freeze", Role.ACT
    THAW = "thaw", Role.ADMIN
    SHADOW_ON = "shadow on", Role.ACT
    SHADOW_OFF = "shadow off", Role.ADMIN
    PAUSE_POLLING = "pause polling", Role.ACT
    RESUME_POLLING = "resume polling", Role.ACT
    PAUSE_POLICY = "pause policy", Role.ACT
    RESUME_POLICY = "resume policy", Role.ADMIN
    CLOSE_BREAKER = "close breaker", Role.ADMIN

    RELEASE_NATIVELY = "release natively", Role.ACT
    """Without an engine, by the marks that the schedulers report."""
    RESTORE = "restore", Role.ADMIN
    DELETE_AUDIT = "delete audit rows", Role.ADMIN
    """Those of an export."""
