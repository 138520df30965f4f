"""What came of it: the ledger of raw requests and Airflow's REST API, held against what was to happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.airflow.chaos.cluster import Cluster
from tests.airflow.chaos.remote import CANCELLED, Execution, Remote, Request

COUNTS = ("duplicates", "lost", "wrongly cancelled", "orphaned")


@dataclass
class Expected:
    """
    What was done to tasks on purpose; all by the task's name, as of :func:`name_of`.

    :param failed: how many of its executions failed. :param cleared: how often a person cleared it.
    :param stopped: how many of its executions a person's acts stop. :param states: end states other than success.
    """

    failed: Counter[str] = field(default_factory=Counter)
    cleared: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)

    def attempts(self, task: str) -> int:
        """How many executions it is to have."""
        return 1 + self.failed[task] + self.cleared[task]


@dataclass
class Verdict:
    """Counts by system, and every single one of them as a line of text."""

    tasks: Counter[str] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in COUNTS})
    findings: list[str] = field(default_factory=list)

    def note(self, count: str, system: str, text: str, number: int = 1) -> None:
        """Count a finding and say what it is."""
        self.counts[count][system] += number
        self.findings.append(f"{count}: {text}")

    def total(self, count: str) -> int:
        """Of all systems."""
        return self.counts[count].total()


def name_of(ti: dict[str, Any]) -> str:
    """A task instance's name, as the DAGs hand it to executions."""
    return f"{ti['dag_id']}/{ti['dag_run_id']}/{ti['task_id']}/{ti['map_index']}"


def system_of(task_id: str) -> str:
    """The system that a task of the chaos DAGs uses."""
    return task_id.rpartition("_")[0]


def judge(cluster: Cluster, remote: Remote, expected: Expected, runs: Collection[str]) -> Verdict:
    """
    Judge the tasks of some runs.

    :param runs: their ids.
    """
    tasks = {name_of(ti): ti for ti in cluster.all_tasks() if ti["dag_run_id"] in runs}
    verdict = Verdict()
    for ti in tasks.values():
        verdict.tasks[system_of(ti["task_id"])] += 1
        verdict.tries[system_of(ti["task_id"])] += ti["try_number"]
    executions = [one for one in remote.executions() if one.task in tasks]
    _judge_starts(verdict, tasks, executions, [one for one in remote.starts() if one.subject in tasks], expected)
    _judge_ends(verdict, executions, remote.cancels(), expected)
    of_task = {name: [one for one in executions if one.task == name] for name in tasks}
    with ThreadPoolExecutor(max_workers=4) as pool:
        checks = [pool.submit(_what_is_wrong, cluster, name, ti, of_task, expected) for name, ti in tasks.items()]
    for (name, ti), check in zip(tasks.items(), checks, strict=True):
        if wrong := check.result():
            verdict.note("lost", system_of(ti["task_id"]), f"{name}: {wrong}")
    return verdict


def _judge_starts(
    verdict: Verdict, tasks: dict[str, dict[str, Any]], executions: list[Execution], requests: list[Request], expected: Expected
) -> None:
    """Every attempt has exactly one execution: by the requests that took effect."""
    started = Counter(one.subject for one in requests if one.accepted)
    assert started == Counter(one.task for one in executions), "the ledger and the list of executions disagree"
    for name, ti in tasks.items():
        if ti["task_id"].endswith("_sensor"):
            continue
        system, attempts = system_of(ti["task_id"]), expected.attempts(name)
        verdict.attempts[system] += attempts
        verdict.started[system] += started[name]
        if started[name] != attempts:
            kind = "duplicates" if started[name] > attempts else "lost"
            text = f"{name}: {started[name]} executions for {attempts} attempts, after {ti['try_number']} tries"
            verdict.note(kind, system, text, abs(started[name] - attempts))


def _judge_ends(verdict: Verdict, executions: list[Execution], cancels: list[Request], expected: Expected) -> None:
    """Nothing goes on, and nothing was stopped but by a person: by the requests, whether or not they took effect."""
    asked = Counter(one.ref for one in executions for request in cancels if request.system == one.system and _means(request, one))
    stopped: Counter[str] = Counter()
    ends: dict[str, list[str]] = {}
    for one in executions:
        if one.active:
            verdict.note("orphaned", one.system, f"{one.task}: {one.ref} is {one.status}")
        if asked[one.ref] or one.status in CANCELLED:
            stopped[one.task] += 1
            ends.setdefault(one.task, []).append(f"{one.ref} is {one.status} and was asked {asked[one.ref]} times")
        if asked[one.ref] > 1 and expected.stopped[one.task]:
            verdict.note("wrongly cancelled", one.system, f"{one.task}: {one.ref} was cancelled {asked[one.ref]} times")
    systems = {one.task: one.system for one in executions}
    for task, number in stopped.items():
        if number > expected.stopped[task]:
            text = f"{task}: {number} of its executions were cancelled, by persons {expected.stopped[task]}: {', '.join(ends[task])}"
            verdict.note("wrongly cancelled", systems[task], text, number - expected.stopped[task])


def _means(request: Request, execution: Execution) -> bool:
    """Whether a cancel request is for this execution, by its path."""
    if execution.system == "buddy":
        pipeline, number = execution.ref.split("/")[-2:]
        return request.subject.endswith(f"/pipelines/{pipeline}/executions/{number}")
    return execution.ref.rpartition("/")[2] in request.subject


def _what_is_wrong(
    cluster: Cluster, name: str, ti: dict[str, Any], executions: dict[str, list[Execution]], expected: Expected
) -> str | None:
    """Whether a task has the right end: state, result, outputs, link."""
    state = expected.states.get(name, "success")
    if ti["state"] != state:
        return f"{ti['state']} after {ti['try_number']} tries, not {state}"
    if name in expected.states or expected.stopped[name]:
        return None  # ended by a person: there is no result
    kind = ti["task_id"].rpartition("_")[2]
    of = name.replace("_sensor/", "_start/")
    result = cluster.xcom_of(ti, "return_value")
    if not isinstance(result, dict) or result.get("ref") != (executions[of][-1].ref if executions[of] else None):
        return f"its result is of another execution: {str(result)[:200]}"
    links = [link for link in cluster.links_of(ti).values() if link]
    if links != ([result["url"]] if result["url"] else []) or bool(links) == (result["system"] == "alga_psa"):  # which has no pages
        return f"its link is {links}, its URL {result['url']}"
    if kind == "start":
        return None
    if result["phase"] != "SUCCEEDED" or result["outputs"].get("TASK") != of or cluster.xcom_of(ti, "TASK") != of:
        return f"it ended {result['phase']} with outputs {result['outputs']}"
    return None
