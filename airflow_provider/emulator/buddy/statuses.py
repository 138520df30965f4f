"""The vendor's status names, and which operation passes which gate."""

from __future__ import annotations

TERMINAL = frozenset({"SUCCESSFUL", "FAILED", "TERMINATED", "SKIPPED", "NOT_EXECUTED"})

RETRYABLE = frozenset({"FAILED", "TERMINATED"})

WAITING = {
    "WAIT_FOR_APPLY": "WAITING_FOR_APPLY",
    "WAIT_FOR_VARIABLES": "WAITING_FOR_VARIABLES",
    "SET_VARIABLES": "WAITING_FOR_SETTABLE_VARIABLES",
    "APPROVE_VT": "WAITING_FOR_VT_SESSION",
}
"""Gate type to the status of a step that waits at it."""

OPERATIONS = {
    "WAIT_FOR_APPLY": "APPLY",
    "WAIT_FOR_VARIABLES": "APPLY_VARIABLES",
    "SET_VARIABLES": "SET_VARIABLES",
    "APPROVE_VT": "APPROVE_VT",
}
"""Gate type to the operation that passes it."""
