"""Waiting without a worker slot: one trigger for a whole wait, of any system."""

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
MAX_HOLD_SECONDS = 60.0
"""Maximum number of seconds that an event is held back, should the clocks of worker and triggerer differ."""

_detached: set[asyncio.Task[Any]] = set()
"""Tasks that outlive their trigger, such as a cancel request under way: an unreferenced one may be collected."""
_asked = False
"""Whether this process has asked for a task's state before: the first question takes seconds."""


def _aside(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    _detached.add(task)
    task.add_done_callback(_detached.discard)
    return task


class ExecutionTrigger(BaseTrigger):
    """
    Waits for an execution, then sends one event: ``{ref, url, end, state, error}``.

    All arguments are JSON, small and without secrets; they are stored in Airflow's database.

    :param hook: the system's hook, as ``module:class``.
    :param hook_arguments: its keyword arguments, the connection id among them.
    :param view: what of the execution is looked at, as arguments of the hook's ``system``.
    :param ref: the execution; None if ``search`` is to find it.
    :param search: see :class:`~airflow_provider.execution.waiting.search.Search`.
    :param url: its page, if known.
    :param link_key: XCom key of the link to that page.
    :param policy: how to wait, the timeout included.
    :param state: how far the wait is.
    :param not_before: epoch seconds; no event is sent before.
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
        """Wait. Every end is an event, errors included: an end without event would cost a retry and its reason."""
        state = WaitState.load(await self._recall())
        found = state.found
        end: End | None = None
        error: dict[str, Any] | None = None
        sender: AsyncSender | None = None
        seen: AsyncGenerator[End | None] | None = None
        # No context managers, and nothing kept that a wait does not need: a triggerer holds thousands of these for hours.
        try:
            hook, system = await asyncio.to_thread(self._load)
            sender = await hook.ahold()
            self._prime()
            wait = Wait(system, self.ref, self.policy, state, self.logger(), self.search)  # one logger for all: its context is the task's
            saved = _clock.monotonic()
            seen = polls(sender, wait)
            del hook, system
            async for look in seen:
                end = look
                if wait.snapshot is not None:
                    self.url = wait.snapshot.url or self.url
                    self.phase = wait.snapshot.phase
                    await self._show(wait.snapshot)
                if state.found != found or _clock.monotonic() - saved >= CHECKPOINT_SECONDS:
                    found, saved = state.found, _clock.monotonic()
                    await self._remember(state)
                wait.snapshot = None  # it may be large, and the next look is far
        except ExecutionApiError as failure:
            error = failure.to_event()
        except Exception as failure:
            ref = self.ref or state.found
            self.log.exception("The wait for execution %s stopped.", ref)
            error = ExecutionInterrupted(
                f"The wait for execution {ref} stopped ({type(failure).__name__}: {one_line(failure, 300)}); the execution "
                f"was left alone, and a retry of the task re-attaches to it.{see(self.url)}",
                ref=ref,
                url=self.url,
            ).to_event()
        finally:
            if seen is not None:
                await seen.aclose()
            if sender is not None:
                await sender.release()
        await _clock.asleep(min(max(self.not_before - _clock.now(), 0.0), MAX_HOLD_SECONDS))
        self._done = True
        event = {"ref": self.ref or state.found or "", "url": self.url, "end": end, "state": state.dump(), "error": error}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    def _load(self) -> tuple[ExecutionHook, ExecutionAdapter]:
        """Import the system's hook, models and HTTP client: in a thread, since that takes too long for the loop that all triggers share."""
        import airflow_provider.execution.http.senders  # noqa: F401

        hook = resolve_name(self.hook)(**self.hook_arguments)
        return hook, hook.adapter(**self.view)

    async def on_kill(self) -> None:
        """
        Cancel the execution if a person ended the task.

        Airflow gives this about a second, and calls it on a hand-over to another triggerer as well. So the state is asked
        for, and the rest runs in a task of its own, with a client of its own.
        """
        if not self.cancel_on_kill or self.ref is None or self._done or self.task_instance is None:
            return
        await asyncio.shield(_aside(self._cancel(self.ref, termination.TaskKey.of(self.task_instance))))

    async def _cancel(self, ref: str, key: termination.TaskKey) -> None:
        verdict = await asyncio.to_thread(termination.ask, key)
        if verdict is not termination.Verdict.CANCEL:
            self.log.info("Execution %s is left alone: %s.", ref, verdict.value)
            return
        hook, system = await asyncio.to_thread(self._load)
        if not system.can_cancel:
            self.log.warning("Execution %s goes on: %s can't cancel executions.%s", ref, system.title, see(self.url))
            return
        self.log.warning("Cancelling execution %s, since %s.", ref, verdict.value)
        try:
            async with hook.asender(shared=False) as sender:
                await sender.run(system.cancel(ref))
        except ExecutionApiError as error:
            self.log.error("Execution %s could not be cancelled: %s Cancel it yourself.%s", ref, error, see(self.url))

    def _prime(self) -> None:
        """Ask once beforehand, aside: the first question in a process takes longer than ``on_kill`` has."""
        global _asked
        if self.cancel_on_kill and self.task_instance is not None and not _asked:
            _asked = True
            _aside(asyncio.to_thread(termination.ask, termination.TaskKey.of(self.task_instance)))

    async def _recall(self) -> dict[str, Any]:
        """How far another triggerer had come with this wait, else how far the worker had. Asked only if there can be a note."""
        ti = self.task_instance
        if ti is not None and (self.search is not None or _clock.now() - self.state.get("saved_at", 0.0) > CHECKPOINT_SECONDS):
            from airflow.sdk.execution_time.xcom import XCom

            try:
                noted = await XCom.aget_value(ti_key=ti, key=PROGRESS_KEY)
            except Exception:
                self.log.debug("No progress of an earlier triggerer can be read.", exc_info=True)
            else:
                if isinstance(noted, dict) and noted.get("ref") == self.ref and isinstance(noted.get("state"), dict):
                    return dict(noted["state"])
        return self.state

    async def _remember(self, state: WaitState) -> None:
        """Note how far the wait is, for another triggerer."""
        await self._push({PROGRESS_KEY: {"ref": self.ref, "search": self.search, "state": state.dump()}})

    async def _show(self, snapshot: Snapshot) -> None:
        """Link to the execution while the task is deferred, where no worker has done so."""
        seen = snapshot.ref, snapshot.url
        if self.shown != seen and await self._push({"ref": snapshot.ref, "url": snapshot.url, self.link_key: snapshot.url}):
            self.shown = seen

    async def _push(self, xcoms: Mapping[str, Any]) -> bool:
        """Set XComs, as far as that can be: a wait does not end for want of them."""
        try:
            await set_xcoms(self.task_instance, xcoms)
        except Exception:
            self.log.debug("XComs %s could not be set.", ", ".join(xcoms), exc_info=True)
            return False
        return True


async def set_xcoms(ti: Any, xcoms: Mapping[str, Any]) -> None:
    """Set XComs of a task instance, or none without one."""
    if ti is None:
        return
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    key = termination.TaskKey.of(ti)._asdict()
    for name, value in xcoms.items():
        if XCom is BaseXCom:
            await XCom.aset(name, value, **key)
        else:  # a backend of somebody's own may write to a storage of its own, and block
            await asyncio.to_thread(XCom.set, name, value, **key)
