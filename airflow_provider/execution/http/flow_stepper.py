"""Running a flow step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from airflow_provider.execution.model.request import Flow, Request, Sleep

T = TypeVar("T")


class FlowStepper(Generic[T]):
    """A flow that is under way: ``wants`` is its next request or pause; once it is ``done``, ``result`` is its result."""

    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.done = False
        self.wants: Request[Any] | Sleep
        self._step(lambda: next(flow))

    def resume(self, answer: object) -> None:
        """Go on with the answer to what the flow wanted."""
        self._step(lambda: self._flow.send(answer))

    def throw(self, error: Exception) -> None:
        """Go on with the error of what the flow wanted."""
        self._step(lambda: self._flow.throw(error))

    def _step(self, step: Callable[[], Request[Any] | Sleep]) -> None:
        try:
            self.wants = step()
        except StopIteration as end:
            self.done = True
            self.result = end.value
