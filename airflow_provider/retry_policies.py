"""A ready-made ``retry_policy`` for Airflow tasks."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider import errors
from airflow_provider._compat import ExceptionRetryPolicy, RetryAction, RetryRule

TRANSIENT_ONLY = ExceptionRetryPolicy(
    [
        RetryRule(errors.RateLimited, RetryAction.RETRY, timedelta(minutes=5), "The API's rate limit is used up."),
        RetryRule(
            [
                errors.TransportError,
                errors.ServerError,
                errors.ProtocolError,
                errors.ConnectionMissing,
                errors.ExecutionUnreachable,
                errors.ExecutionInterrupted,
                errors.StartUnknown,
                errors.OutputMissing,
            ],
            RetryAction.RETRY,
            reason="The problem may be temporary. A retry re-attaches to the same execution.",
        ),
        RetryRule(
            errors.ExecutionApiError,
            RetryAction.FAIL,
            reason="The execution, or the request for it, failed: a retry would only do the same again.",
        ),
    ]
)
"""
Retries temporary problems (of the network, the API, Airflow), and fails at once if the execution itself failed, was cancelled, timed
out or no longer exists. Everything that is not an error of this package, such as a lost worker, is retried as usual. ``retries`` limits
all of it.
"""
