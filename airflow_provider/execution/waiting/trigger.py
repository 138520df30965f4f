"""The trigger that waits for an execution of any system, without occupying a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError, ExecutionInterrupted, one_line
from airflow_provider.execution.attempt import termination
from airflow_provider.execution.attempt.note import PROGRESS_KEY
from airflow_provider.execution.model.snapshot import see
from airflow_provider.execution.results.outcome import End
from airflow_provider.execution.waiting.shared_polling import polls
from airflow_provider.execution.waiting.wait import Wait, WaitPolicy, WaitState

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.http.senders import AsyncSender
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.phase import Phase
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.waiting.search import Search

CHECKPOINT_SECONDS = 60.0
"""Interval at which a trigger stores its progress."""
MAX_HOLD_SECONDS = 60.0
"""Maximum time to delay an event, in case the clocks of worker and triggerer differ."""

_detached: set[asyncio.Task[Any]] = set()
"""Tasks that outlive their trigger, such as a cancel request in progress: asyncio keeps no reference to them."""
_primed = False
"""Whether this process has asked for a task's state before: the first request takes seconds."""


def _detach(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    _detached.add(task)
    task.add_done_callback(_detached.discard)
    return task


class ExecutionTrigger(BaseTrigger):
    """
    Waits for an execution, then sends one event: ``{ref, url, end, state, error}``.

    All arguments are JSON, small and without secrets; they are stored in Airflow's database.

    :param hook: the system's hook, as ``module:class``.
    :param hook_arguments: keyword arguments of the hook, with the connection id.
    :param view: the part of the execution that the task is about, as arguments of the hook's ``adapter``.
    :param ref: the execution; None if ``search`` is to find it.
    :param search: see :class:`~airflow_provider.execution.waiting.search.Search`.
    :param url: its page, if known.
    :param link_key: XCom key of the link to that page.
    :param policy: see :class:`~airflow_provider.execution.waiting.wait.WaitPolicy`.
    :param state: see :class:`~airflow_provider.execution.waiting.wait.WaitState`; with ``saved_at``, its time in epoch seconds.
    :param not_before: no event is sent before this time, in epoch seconds.
    :param cancel_on_kill: whether to cancel the execution when a person ends the task.
    """

    def __init__(
        self,
        *,
        hook: str,
        hook_arguments: dict[str, Any],
        view: dict[str, Any],
        ref: str | None,
        search: Search | None,
        url: str | None,
        link_key: str,
        policy: WaitPolicy,
        state: dict[str, Any],
        not_before: float,
        cancel_on_kill: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.hook = hook
        self.hook_arguments = hook_arguments
        self.view = view
        self.ref = ref
        self.search = search
        self.url = url
        self.link_key = link_key
        self.policy = policy
        self.state = state
        self.not_before = not_before
        self.cancel_on_kill = cancel_on_kill
        self.phase: Phase | None = None
        self.shown: tuple[str, str | None] | None = None if ref is None else (ref, url)
        self._done = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "hook": self.hook,
                "hook_arguments": self.hook_arguments,
                "view": self.view,
                "ref": self.ref,
                "search": self.search,
                "url": self.url,
                "link_key": self.link_key,
                "policy": self.policy,
                "state": self.state,
                "not_before": self.not_before,
                "cancel_on_kill": self.cancel_on_kill,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait. Every end is an event, errors included: an end without an event would cost a retry and its reason."""
        state = WaitState.load(await self._recall())
        found_ref = state.found
        end: End | None = None
        error: dict[str, Any] | None = None
        sender: AsyncSender | None = None
        results: AsyncGenerator[End | None] | None = None
        # No context managers, and nothing kept that a wait does not need: a triggerer holds thousands of these for hours.
        try:
            hook, system = await asyncio.to_thread(self._load)
            sender = await hook.ahold()
            self._prime()
            wait = Wait(system, self.ref, self.policy, state, self.logger(), self.search)  # one logger for all: its context is the task's
            saved = _clock.monotonic()
            results = polls(sender, wait)
            del hook, system
            async for result in results:
                end = result
                if wait.snapshot is not None:
                    self.url = wait.snapshot.url or self.url
                    self.phase = wait.snapshot.phase
                    await self._show(wait.snapshot)
                if state.found != found_ref or _clock.monotonic() - saved >= CHECKPOINT_SECONDS:
                    found_ref, saved = state.found, _clock.monotonic()
                    await self._remember(state)
                wait.snapshot = None  # it may be large, and the next poll is far
        except ExecutionApiError as failure:
            error = failure.to_event()
        except Exception as failure:
            ref = self.ref or state.found
            self.log.exception("The wait for execution %s failed.", ref)
            error = ExecutionInterrupted(
                f"The wait for execution {ref} failed ({type(failure).__name__}: {one_line(failure, 300)}); the execution "
                f"was left alone, and a retry of the task re-attaches to it.{see(self.url)}",
                ref=ref,
                url=self.url,
            ).to_event()
        finally:
            if results is not None:
                await results.aclose()
            if sender is not None:
                await sender.release()
        await _clock.asleep(min(max(self.not_before - _clock.now(), 0.0), MAX_HOLD_SECONDS))
        self._done = True
        event = {"ref": self.ref or state.found or "", "url": self.url, "end": end, "state": state.dump(), "error": error}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    def _load(self) -> tuple[ExecutionHook, ExecutionAdapter]:
        """Import the system's hook, models and HTTP client. For a thread: it takes too long for the event loop that all triggers share."""
        import airflow_provider.execution.http.senders  # noqa: F401

        hook = resolve_name(self.hook)(**self.hook_arguments)
        return hook, hook.adapter(**self.view)

    async def on_kill(self) -> None:
        """
        Cancel the execution if a person ended the task.

        Airflow gives this about a second, and also calls it when the trigger moves to another triggerer. So it asks for the task's state,
        and runs in an asyncio task of its own, with a client of its own.
        """
        if not self.cancel_on_kill or self.ref is None or self._done or self.task_instance is None:
            return
        await asyncio.shield(_detach(self._cancel(self.ref, termination.TaskKey.of(self.task_instance))))

    async def _cancel(self, ref: str, key: termination.TaskKey) -> None:
        verdict = await asyncio.to_thread(termination.ask, key)
        if verdict is not termination.Verdict.CANCEL:
            self.log.info("Execution %s was left alone: %s.", ref, verdict.value)
            return
        hook, system = await asyncio.to_thread(self._load)
        if not system.can_cancel:
            self.log.warning("Execution %s continues: %s can't cancel executions.%s", ref, system.title, see(self.url))
            return
        self.log.warning("Cancelling execution %s, because %s.", ref, verdict.value)
        try:
            async with hook.asender(shared=False) as sender:
                await sender.run(system.cancel(ref))
        except ExecutionApiError as error:
            self.log.error("Execution %s could not be cancelled: %s Cancel it yourself.%s", ref, error, see(self.url))

    def _prime(self) -> None:
        """Ask for the state once in advance: the first request in a process takes longer than ``on_kill`` has."""
        global _primed
        if self.cancel_on_kill and self.task_instance is not None and not _primed:
            _primed = True
            _detach(asyncio.to_thread(termination.ask, termination.TaskKey.of(self.task_instance)))

    async def _recall(self) -> dict[str, Any]:
        """The state that another triggerer stored, else that of the worker. Airflow is asked only if there can be one."""
        ti = self.task_instance
        if ti is not None and (self.search is not None or _clock.now() - self.state.get("saved_at", 0.0) > CHECKPOINT_SECONDS):
            from airflow.sdk.execution_time.xcom import XCom

            try:
                progress = await XCom.aget_value(ti_key=ti, key=PROGRESS_KEY)
            except Exception:
                self.log.debug("The progress of an earlier triggerer can't be read.", exc_info=True)
            else:
                if isinstance(progress, dict) and progress.get("ref") == self.ref and isinstance(progress.get("state"), dict):
                    return dict(progress["state"])
        return self.state

    async def _remember(self, state: WaitState) -> None:
        """Store the state for another triggerer."""
        await self._push({PROGRESS_KEY: {"ref": self.ref, "search": self.search, "state": state.dump()}})

    async def _show(self, snapshot: Snapshot) -> None:
        """Link to the execution while the task is deferred, if no worker has done so."""
        link = snapshot.ref, snapshot.url
        if self.shown != link and await self._push({"ref": snapshot.ref, "url": snapshot.url, self.link_key: snapshot.url}):
            self.shown = link

    async def _push(self, xcoms: Mapping[str, Any]) -> bool:
        """Set XComs if possible: the wait continues without them."""
        try:
            await set_xcoms(self.task_instance, xcoms)
        except Exception:
            self.log.debug("XComs %s could not be set.", ", ".join(xcoms), exc_info=True)
            return False
        return True


async def set_xcoms(ti: Any, xcoms: Mapping[str, Any]) -> None:
    """Set XComs of a task instance; without one (None), none."""
    if ti is None:
        return
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    key = termination.TaskKey.of(ti)._asdict()
    for name, value in xcoms.items():
        if XCom is BaseXCom:
            await XCom.aset(name, value, **key)
        else:  # a custom backend may write to a storage of its own, and block
            await asyncio.to_thread(XCom.set, name, value, **key)
