"""From the end of a wait to the end of the task: the final read, what the task pushes, and what it returns or raises."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider.errors import (
    ConfigurationError,
    ExecutionApiError,
    ExecutionInterrupted,
    ExecutionUnreachable,
    NotFound,
    OutputMissing,
)
from airflow_provider.execution.model.arguments import texts
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import LogLine, Snapshot
from airflow_provider.execution.results.known_secrets import hide_in
from airflow_provider.execution.results.log_file import LogFile
from airflow_provider.execution.results.outcome import End, Outcome, failure_lines
from airflow_provider.execution.results.outputs import OutputPolicy, check_declared, safe_name, storage_folder, to_push
from airflow_provider.execution.results.redaction import MIN_GROUP_LINES, clean, forward, secrets_in, tail_without_keys
from airflow_provider.execution.results.result_of import make_result
from airflow_provider.execution.waiting.final_read import final_read
from airflow_provider.execution.waiting.log_batches import whole_log

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.result import ExecutionResult


class FinalRead(NamedTuple):
    """
    An execution, read in full when the wait for it was over.

    :param end: why the wait is over, as far as the read confirms it.
    :param goes_on: whether the wait has to continue: the execution was revived, or a person has approved.
    """

    snapshot: Snapshot
    end: End
    goes_on: bool


@dataclass
class Ending:
    """
    How the task ends.

    :param xcoms: XComs to push, besides the result.
    :param error: error to raise; None if the task succeeds, or is skipped.
    """

    result: ExecutionResult
    outcome: Outcome
    xcoms: dict[str, Any] = field(default_factory=dict)
    error: ExecutionApiError | None = None


@dataclass
class Completion:
    """
    What a worker and the triggerer do in the same way once a wait is over. The caller pushes the XComs and raises the task's error.

    :param hook: hook of the task's connection.
    :param view: the part of an execution that the task is about, as arguments of the hook's ``adapter``.
    :param judge: returns the outcome of title, end, snapshot and the last error of the API.
    :param log: the task's structured logger.
    :param secrets: values that the task passed and that must not be shown.
    :param failure_budget: seconds of failing requests to tolerate at the final read.
    :param vanish_grace: seconds of 404 answers to tolerate at the final read.
    :param push_outputs, reveal_outputs, outputs_path, log_path: the task's arguments.
    """

    hook: ExecutionHook
    view: dict[str, Any]
    judge: Callable[[str, End, Snapshot, str | None], Outcome]
    log: Any
    secrets: Sequence[str]
    failure_budget: float
    vanish_grace: float
    push_outputs: Collection[str] | str | None
    reveal_outputs: Collection[str] | str | None
    outputs_path: str | None
    log_path: str | None

    @property
    def declared(self) -> list[str]:
        """
        Names of the outputs to push.

        :raises ConfigurationError: for a name that can't be an XCom key.
        """
        return check_declared(self.push_outputs)

    def check(self, context: Context) -> None:
        """
        Check the arguments before anything is started.

        :raises ConfigurationError: for outputs that can't be pushed, names that are no texts, or a folder that can't be used.
        """
        _ = self.declared
        texts(self.reveal_outputs, "reveal_outputs")
        for name in ("outputs_path", "log_path"):
            if path := getattr(self, name):
                try:
                    _ = storage_folder(path, context).fs
                except Exception as error:
                    raise ConfigurationError(f"{name} {str(path)!r} can't be used: {type(error).__name__}: {clean(error)}") from None

    def final_read(self, ref: str, url: str | None, end: End) -> Flow[FinalRead]:
        """
        Read an execution in full at the end of a wait, and wait for what lags behind its status.

        :param url: its page, if known.
        :param end: why the wait is over.
        :raises ExecutionUnreachable: if requests fail for longer than the budget. After a timeout the task ends without the read.
        """
        adapter = self.hook.adapter(**self.view)
        snapshot = Snapshot(ref, Phase.UNKNOWN, "unknown", url)
        late = end in ("timeout", "waiting_timeout")
        if end not in ("vanished", "unreachable"):
            try:
                declared = [name for name in self.declared if name != "*"]
                budget = 0.0 if late else self.failure_budget
                snapshot = yield from final_read(adapter, ref, declared, budget, self.vanish_grace)
            except NotFound as problem:
                self.log.warning("%s", problem)
                end = "vanished"
            except ExecutionUnreachable as problem:
                if not late:
                    raise ExecutionUnreachable(f"{problem} Retry the task to collect it.", system=adapter.name, ref=ref) from None
                self.log.warning("%s", problem)
        snapshot.log_tail = tail_without_keys(snapshot.log_tail)
        self.hide_in(snapshot)
        revived = end == "ended" and not snapshot.phase.ended
        approved = end in ("waiting", "waiting_timeout") and not snapshot.phase.ended and snapshot.phase is not Phase.WAITING
        if revived:
            self.log.warning("Execution %s had ended and runs again: somebody revived it. Waiting for it.", ref)
        elif approved:
            self.log.info("Execution %s no longer waits for a person. Waiting for its end.", ref)
        return FinalRead(snapshot, end, revived or approved)

    def hide_in(self, snapshot: Snapshot) -> None:
        """Hide in a snapshot what must not be shown: the credential, what the task passed, and secret outputs."""
        snapshot.hidden = [*self.secrets, *self.hook.secrets]
        hide_in(snapshot, secrets_in(snapshot))

    def finish(self, snapshot: Snapshot, outcome: Outcome, context: Context) -> Ending:
        """Show the tail of the log, store outputs and log, and decide what the task pushes and raises. It blocks."""
        adapter = self.hook.adapter(**self.view)
        if snapshot.log_tail:
            if len(snapshot.log_tail) < MIN_GROUP_LINES:  # longer ones are a group, with a title
                self.log.info("%s, end of the log:", adapter.title)
            forward(self.log, f"{adapter.title}, end of the", [LogLine("", line) for line in snapshot.log_tail], secrets_in(snapshot))
        if snapshot.log_problem:
            self.log.warning("The end of the log could not be read: %s", clean(snapshot.log_problem, secrets_in(snapshot)))
        folder = None
        if self.outputs_path:
            with self._surviving("outputs_path"):
                folder = storage_folder(self.outputs_path, context)
        policy = OutputPolicy(self.reveal_outputs, folder, hidden=snapshot.hidden)
        ending = Ending(make_result(adapter, self.hook.conn_id, snapshot, policy), outcome)
        if outcome.error is not None:
            ending.error = outcome.error(outcome.message, system=adapter.name, ref=snapshot.ref, url=snapshot.url)
        if self.log_path:
            with self._surviving("log_path"):
                ending.result["log_file"] = store_log(self.hook, adapter, snapshot, storage_folder(self.log_path, context))
        if outcome.error is None and not outcome.skip:
            try:
                ending.xcoms |= to_push(self.declared, ending.result["outputs"], snapshot, policy.omitted)
            except OutputMissing as missing:
                ending.error = missing
        if ending.error is not None or outcome.skip:
            ending.xcoms["execution"] = ending.result
        if outcome.error is not None:
            for line in failure_lines(adapter.title, snapshot, outcome):
                self.log.error("%s", line)
        return ending

    def log_success(self, snapshot: Snapshot, outcome: Outcome) -> None:
        """Say that the task ends well, once everything is pushed."""
        self.log.log(30 if snapshot.partial else 20, "%s", outcome.message)

    def unfinished(self, ref: str, url: str | None, snapshot: Snapshot | None) -> ExecutionResult:
        """The result as far as known, for a task that ends before the final read. ``snapshot``: what was read last, if anything."""
        snapshot = snapshot or Snapshot(ref, Phase.UNKNOWN, "unknown", url)
        self.hide_in(snapshot)
        policy = OutputPolicy((), None, hidden=snapshot.hidden)
        return make_result(self.hook.adapter(**self.view), self.hook.conn_id, snapshot, policy)

    @contextmanager
    def _surviving(self, argument: str) -> Iterator[None]:
        """The execution has ended: a problem with the storage must not lose its result."""
        try:
            yield
        except ExecutionInterrupted:
            raise
        except Exception as problem:
            self.log.warning("%s could not be used (%s): %s", argument, type(problem).__name__, clean(problem))


def store_log(hook: ExecutionHook, adapter: ExecutionAdapter, snapshot: Snapshot, folder: ObjectStoragePath) -> str:
    """
    Stream the whole log of an execution into a file in ``folder``, block by block; of one that goes on, up to now.

    :returns: path of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{safe_name(snapshot.ref)}.log"
    with path.open("wb") as file:  # type: ignore[no-untyped-call]
        log_file = LogFile(file, secrets_in(snapshot))
        for step, block in whole_log(hook.run_flow, adapter, snapshot):
            log_file.write(step, block)
    return str(path)
