"""
Whether this process does without Airflow: a command that only reads files, where the import of Airflow would take most of the time.

The exceptions of this package then have other bases. Set before anything else is imported, and only by what a user starts as a process.
"""

from __future__ import annotations

_alone = False


def do_without_airflow() -> None:
    """Import nothing of Airflow until something of it is needed."""
    global _alone
    _alone = True


def without_airflow() -> bool:
    """Return whether :func:`do_without_airflow` was called."""
    return _alone
