"""Where a flow is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from airflow_provider.execution.model.request import Flow, Request, Sleep

T = TypeVar("T")


class FlowStepper(Generic[T]):
    """Where a flow is: what it wants next, or its result."""

    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.done = False
        self.wants: Request[Any] | Sleep
        self._step(lambda: next(flow))

    def go_on(self, answer: object) -> None:
        """Give the flow what it wanted."""
        self._step(lambda: self._flow.send(answer))

    def throw(self, error: Exception) -> None:
        """Tell the flow that its request failed."""
        self._step(lambda: self._flow.throw(error))

    def _step(self, step: Callable[[], Request[Any] | Sleep]) -> None:
        try:
            self.wants = step()
        except StopIteration as end:
            self.done = True
            self.result = end.value
