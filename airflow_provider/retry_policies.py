"""A ready-made ``retry_policy`` for Airflow tasks."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from airflow_provider import errors

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
            reason="The trouble may pass; a retry goes on with the same execution.",
        ),
        RetryRule(
            errors.ExecutionApiError,
            RetryAction.FAIL,
            reason="The execution itself, or the request for it, did not go well: a retry would only do the same again.",
        ),
    ]
)
"""
Retries what may pass by itself (the network, the API, Airflow), and fails at once when the execution itself failed, was cancelled, timed
out or is gone. What is none of this package's errors, such as a lost worker, is retried as usual; ``retries`` bounds all of it.
"""
