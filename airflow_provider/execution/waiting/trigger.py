"""The trigger that waits for an execution of any system, without occupying a worker slot."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider import _clock, _compat, _metrics
from airflow_provider.errors import ExecutionApiError, ExecutionInterrupted, NotFound, one_line
from airflow_provider.execution.attempt import termination
from airflow_provider.execution.attempt.note import PROGRESS_KEY
from airflow_provider.execution.attempt.page_xcom import VIEW_KEY, apush_for_page, can_read_results, is_for_page
from airflow_provider.execution.attempt.stored import FORMAT, FORMAT_KEY, check_format
from airflow_provider.execution.model.snapshot import see
from airflow_provider.execution.results.known_secrets import Secrets, hidden, hide_in_error, parts_of
from airflow_provider.execution.results.outcome import End
from airflow_provider.execution.results.redaction import clean
from airflow_provider.execution.results.view import ExecutionView, ViewWrites, view_of
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


def detach(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Run something that may outlive its trigger."""
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
    :param sealed: the task's secret arguments, see :mod:`~airflow_provider.execution.waiting.sealed`.
    :param format: see :mod:`~airflow_provider.execution.attempt.stored`.
    :param later: what a later version has stored besides: kept for that version.
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
        sealed: str | None = None,
        format: int = FORMAT,
        **later: Any,
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
        self.sealed = sealed
        self.format = format
        self.later = later
        self.hidden = Secrets()
        self._can_hide = True
        self.phase: Phase | None = None
        self.shown: tuple[str, str | None] | None = None if ref is None else (ref, url)
        self._done = False
        self._view: ExecutionView | None = None
        self._writes_view = False

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
                "sealed": self.sealed,
                FORMAT_KEY: self.format,
                **self.later,
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
        wait: Wait | None = None
        counted: str | None = None
        views = ViewWrites()
        # No context managers, and nothing kept that a wait does not need: a triggerer holds thousands of these for hours.
        try:
            check_format({FORMAT_KEY: self.format}, "The stored wait", self.ref)
            hook, system = await asyncio.to_thread(self._load)
            sender = await hook.ahold()
            self._prime()
            policy = await asyncio.to_thread(self._open_sealed, hook)
            # One logger for all: its context is the task's.
            wait = Wait(system, self.ref, policy, state, self.logger(), self.search, hidden=self.hidden)
            saved = _clock.monotonic()
            results = polls(sender, wait)
            _metrics.deferred_waits(system.name, None, counted := wait.phase)
            conn_id = hook.conn_id
            del hook, system
            async for result in results:
                end = result
                _metrics.deferred_waits(wait.system.name, counted, counted := wait.phase)
                if wait.snapshot is not None:
                    self.url = wait.snapshot.url or self.url
                    self.phase = wait.snapshot.phase
                    await self._show(wait.snapshot)
                    self._note_view(views, wait.system.name, conn_id, wait.snapshot)
                if state.found != found_ref or _clock.monotonic() - saved >= CHECKPOINT_SECONDS:
                    found_ref, saved = state.found, _clock.monotonic()
                    await self._remember(state)
                wait.snapshot = None  # it may be large, and the next poll is far
        except asyncio.CancelledError:
            await self._cancelled()
            raise
        except ExecutionApiError as failure:
            hide_in_error(failure, self.hidden)
            error = failure.to_event()
        except Exception as failure:
            ref = self.ref or state.found
            told = hidden("".join(traceback.format_exception(failure)), parts_of(self.hidden))  # it may quote the answer
            self.log.error("The wait for execution %s failed.\n%s", ref, told)
            shown = clean(failure, self.hidden)
            error = ExecutionInterrupted(
                f"The wait for execution {ref} failed ({type(failure).__name__}: {one_line(shown, 300)}); the execution "
                f"was left alone, and a retry of the task re-attaches to it.{see(self.url)}",
                ref=ref,
                url=self.url,
            ).to_event()
        finally:
            if views.due_in():
                self._view = None  # whoever goes on with the task shows more
            if wait is not None:
                _metrics.deferred_waits(wait.system.name, counted, None)
            if results is not None:
                await results.aclose()
            if sender is not None:
                await sender.release()
        try:
            await _clock.asleep(min(max(self.not_before - _clock.now(), 0.0), MAX_HOLD_SECONDS))
        except asyncio.CancelledError:
            await self._cancelled()
            raise
        self._done = True
        event = {
            FORMAT_KEY: FORMAT,
            "ref": self.ref or state.found or "",
            "url": self.url,
            "end": end,
            "state": state.dump(),
            "error": error,
        }
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _cancelled(self) -> None:
        """Do what Airflow calls ``on_kill`` for, where it only cancels triggers."""
        if not _compat.kills_triggers():
            await self.on_kill()

    def _load(self) -> tuple[ExecutionHook, ExecutionAdapter]:
        """Import the system's hook, models and HTTP client. For a thread: it takes too long for the event loop that all triggers share."""
        import airflow_provider.execution.http.senders  # noqa: F401

        hook = resolve_name(self.hook)(**self.hook_arguments)
        return hook, hook.adapter(**self.view)

    def _open_sealed(self, hook: ExecutionHook) -> WaitPolicy:
        """Learn what to hide; without that, the remote log is not shown here. For a thread: it takes too long for the event loop."""
        self.hidden = Secrets(hook.secrets)
        if self.sealed is None:
            return self.policy
        from airflow_provider.execution.waiting.sealed import CannotOpen, unseal

        try:
            self.hidden = Secrets((*self.hidden, *unseal(self.sealed, hook.conn_id, hook.credential)))
            _ = self.hidden.parts
        except CannotOpen:
            self.log.warning(
                "The remote log is not shown while this task is deferred, since the task's secret arguments can't be hidden in it: the "
                "credential of connection %r has changed meanwhile. Its tail follows at the end.",
                hook.conn_id,
            )
            self._can_hide = False
            return {**self.policy, "log_lines": 0}
        return self.policy

    async def on_kill(self) -> None:
        """
        Cancel the execution if a person ended the task.

        Airflow gives this about a second, and also calls it when the trigger moves to another triggerer. So it asks for the task's state,
        and runs in an asyncio task of its own, with a client of its own.
        """
        if not self.cancel_on_kill or self.ref is None or self._done or self.task_instance is None:
            return
        await asyncio.shield(detach(self._cancel(self.ref, termination.TaskKey.of(self.task_instance))))

    async def _cancel(self, ref: str, key: termination.TaskKey) -> None:
        verdict = await _compat.to_thread(termination.ask, key)
        if verdict is not termination.Verdict.CANCEL:
            self.log.info("Execution %s was left alone: %s.", ref, verdict.value)
            return
        hook, system = await asyncio.to_thread(self._load)
        if not system.can_cancel:
            self.log.warning("Execution %s continues: %s can't cancel executions.%s", ref, system.title, see(self.url))
            return
        try:
            async with hook.asender(shared=False) as sender:
                if await _has_ended(sender, hook.adapter(), ref):
                    self.log.info("Execution %s has ended, and needs no cancelling.", ref)
                    return
                self.log.warning("Cancelling execution %s, because %s.", ref, verdict.value)
                await _cancel_when_there(sender, system, ref)
        except ExecutionApiError as error:
            hide_in_error(error, self.hidden)
            self.log.error("Execution %s could not be cancelled: %s Cancel it yourself.%s", ref, error, see(self.url))

    def _prime(self) -> None:
        """Ask for the state once in advance: the first request in a process takes longer than ``on_kill`` has."""
        global _primed
        if self.cancel_on_kill and self.task_instance is not None and not _primed:
            _primed = True
            detach(_compat.to_thread(termination.ask, termination.TaskKey.of(self.task_instance)))

    async def _recall(self) -> dict[str, Any]:
        """The state that another triggerer stored, else that of the worker. Airflow is asked only if there can be one."""
        ti = self.task_instance
        if ti is not None and (self.search is not None or _clock.now() - self.state.get("saved_at", 0.0) > CHECKPOINT_SECONDS):
            from airflow.sdk.execution_time.xcom import XCom

            try:
                progress = await _compat.aget_xcom(XCom, ti, PROGRESS_KEY)
            except Exception:
                self.log.debug("The progress of an earlier triggerer can't be read.", exc_info=True)
            else:
                if isinstance(progress, dict) and self._is_own(progress) and isinstance(progress.get("state"), dict):
                    return dict(progress["state"])
        return self.state

    @property
    def _deferral(self) -> str | None:
        """Which deferral of the attempt this is. As a text: a database may round a number."""
        saved_at = self.state.get("saved_at")
        return None if saved_at is None else f"{saved_at:.3f}"

    def _is_own(self, progress: Mapping[str, Any]) -> bool:
        """Whether a trigger of the same deferral has stored it. An attempt may have several; earlier versions did not store which."""
        known = progress.get("deferral"), self._deferral
        return progress.get("ref") == self.ref and (None in known or known[0] == known[1])

    async def _remember(self, state: WaitState) -> None:
        """Store the state for another triggerer."""
        progress = {"ref": self.ref, "search": self.search, "state": state.dump(), "deferral": self._deferral}
        await self._push({PROGRESS_KEY: progress})

    async def _show(self, snapshot: Snapshot) -> None:
        """Link to the execution while the task is deferred, if no worker has done so."""
        link = snapshot.ref, snapshot.url
        if self.shown != link and await self._push({"ref": snapshot.ref, "url": snapshot.url, self.link_key: snapshot.url}):
            self.shown = link

    def _note_view(self, views: ViewWrites, system: str, conn_id: str, snapshot: Snapshot) -> None:
        """Write the view of the execution for the web interface, in a task of its own: it may not be due yet, and nothing waits for it."""
        views.see(snapshot)
        if self.task_instance is None or views.due_in() is None:
            return
        self._view = view_of(system, conn_id, snapshot, self.hidden, with_texts=self._can_hide)
        if not self._writes_view:
            self._writes_view = True
            detach(self._write_view(views))

    async def _write_view(self, views: ViewWrites) -> None:
        try:
            while (due := views.due_in()) is not None:
                await _clock.asleep(due)
                if self._view is None:
                    return
                views.written()
                view, self._view = self._view, None
                if not await self._push({VIEW_KEY: view}):
                    views.failed()
        finally:
            self._writes_view = False

    async def _push(self, xcoms: Mapping[str, Any]) -> bool:
        """Set XComs if possible: the wait continues without them."""
        try:
            await set_xcoms(self.task_instance, xcoms)
        except Exception:
            self.log.debug("XComs %s could not be set.", ", ".join(xcoms), exc_info=True)
            return False
        return True


async def _has_ended(sender: AsyncSender, system: ExecutionAdapter, ref: str) -> bool:
    """Whether an execution is known to have ended: a triggerer that stood still has not seen what another one has."""
    with suppress(ExecutionApiError, TimeoutError), _clock.deadline(termination.ASK_SECONDS):
        return (await sender.run(system.read(ref))).phase.ended
    return False


async def _cancel_when_there(sender: AsyncSender, system: ExecutionAdapter, ref: str) -> None:
    """Cancel an execution. One whose start was just accepted may not be there yet."""
    for pause in termination.LOOKS:
        await _clock.asleep(pause)
        try:
            return await sender.run(system.cancel_because("killed", ref))
        except NotFound as error:
            missing = error
    raise missing


async def set_xcoms(ti: Any, xcoms: Mapping[str, Any]) -> None:
    """Set XComs of a task instance; without one (None), none."""
    if ti is None:
        return
    from airflow.sdk.execution_time.xcom import XCom

    task = termination.TaskKey.of(ti)
    for name, value in xcoms.items():
        if is_for_page(name):
            await apush_for_page(task, name, value)
        elif can_read_results():
            await _compat.aset_xcom(XCom, name, value, **task._asdict())
        else:  # a custom backend may write to a storage of its own, and block
            await _compat.to_thread(XCom.set, name, value, **task._asdict())
