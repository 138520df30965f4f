"""The table of sensors that search (documentation, sensors): each row in all modes, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowSensorTimeout
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyPipelineSensor
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.harness import Ended, TaskRun
from tests.integration.conftest import SENSOR_MODES
from tests.integration.systems import BuddySystem
from tests.virtual_clock import current

LIST = r"/executions$"


def once_looked(search: Search, act: Callable[[], Any], path: str = r"/executions/\d+$") -> None:
    """Act when the sensor has followed for a while what it found; or with ``LIST``, when it has searched for a while."""
    search.clock.when(lambda: search.emulator.ledger.count(method="GET", path_re=path) >= 2, act)


class Search:
    """A pipeline of which somebody else starts executions, and a sensor for it in one mode."""

    def __init__(self, emulator: Emulator, mode: str) -> None:
        self.system = BuddySystem(emulator)
        self.buddy = emulator.buddy
        self.emulator = emulator
        self.clock = current()
        self.mode = mode
        self.pipeline = self.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=0.3, outputs={"IMAGE": "shop:1"})]))

    def fails_once(self) -> str:
        """An execution that has failed, and succeeds when it runs again."""
        self.pipeline.actions = [Action("Build", seconds=0.1, status=["FAILED", "SUCCESSFUL"], id=1)]
        ref = self.start()
        self.clock.advance(0.2)
        assert self.system.status(ref) == "FAILED"
        return ref

    def start(self, status: str | None = None, **fields: Any) -> str:
        return str(self.buddy.add_execution(self.pipeline, status, **fields).ref)

    def task(self, *, retries: int = 2, **arguments: Any) -> TaskRun:
        given = {"pipeline": "release", "poke_interval": 0.25, "timeout": 30.0, **SENSOR_MODES[self.mode], **arguments}
        return TaskRun(lambda: BuddyPipelineSensor(task_id="task", **given), self.system.connections, retries=retries)

    def run(self, **arguments: Any) -> Ended:
        return self.task(**arguments).run()


@pytest.fixture(params=list(SENSOR_MODES))
def search(request: pytest.FixtureRequest, emulator: Emulator) -> Search:
    return Search(emulator, request.param)


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat()


def found(ended: Ended) -> str:
    assert ended.state == "success", ended.text
    assert ended.xcoms["ref"] == ended.result["ref"]
    assert ended.xcoms["url"] == ended.result["url"] == ended.xcoms["_link_BuddyExecutionLink"]
    return str(ended.result["ref"])


# What is found


def test_an_execution_that_is_there(search: Search) -> None:
    ref = search.start()
    ended = search.run(push_outputs=["IMAGE"])
    assert found(ended) == ref
    assert ended.xcoms["IMAGE"] == "shop:1"
    assert ended.text.count(f"Found Buddy execution {ref}. Waiting for it.") == 1


def test_one_that_starts_later(search: Search) -> None:
    once_looked(search, search.start, LIST)
    ended = search.run(started_after=moment(search.clock.now()))
    assert found(ended) == search.system.refs[0]
    assert ended.text.count("Searching for a Buddy execution of pipeline 'release' in demo/shop") == 1


def test_the_first_since_a_moment(search: Search) -> None:
    now = search.clock.now()
    search.start("SUCCESSFUL", started_at=now - 500)
    ref = search.start("SUCCESSFUL", started_at=now - 100)
    search.start("SUCCESSFUL", started_at=now - 50)
    assert found(search.run(started_after=moment(now - 200))) == ref


def test_the_first_of_all_without_bounds(search: Search) -> None:
    refs = [search.start("SUCCESSFUL", started_at=search.clock.now() - 1_000 + number) for number in range(120)]
    search.buddy.max_per_page = 20
    assert found(search.run()) == refs[0]


@pytest.mark.parametrize("match", ["first", "latest", "first_succeeded"])
def test_an_old_one_is_told_where_no_bound_was_given(search: Search, match: str) -> None:
    ref = search.start("SUCCESSFUL", started_at=search.clock.now() - 500)
    ended = search.run(match=match)
    assert found(ended) == ref
    assert ended.text.count(f"Buddy execution {ref} had ended at") == 1
    assert "For a new one set started_after" in ended.text


@pytest.mark.parametrize("bound", ["started_after", "finished_after"])
def test_nothing_is_told_with_a_bound(search: Search, bound: str) -> None:
    ref = search.start("SUCCESSFUL", started_at=search.clock.now() - 500)
    ended = search.run(**{bound: moment(search.clock.now() - 1_000)})
    assert found(ended) == ref
    assert "had ended at" not in ended.text


def test_the_latest(search: Search) -> None:
    search.start("FAILED", started_at=search.clock.now() - 50)
    ref = search.start()
    assert found(search.run(match="latest")) == ref


def test_the_latest_fails_with_it(search: Search) -> None:
    search.start("SUCCESSFUL", started_at=search.clock.now() - 50)
    search.start("FAILED", started_at=search.clock.now() - 10)
    assert type(search.run(match="latest").error) is errors.ExecutionFailed


def test_the_first_that_succeeds(search: Search) -> None:
    failed = search.start("FAILED", started_at=search.clock.now() - 50)
    stopped = search.start("TERMINATED", started_at=search.clock.now() - 40)
    search.clock.later(0.5, search.start)
    ended = search.run(match="first_succeeded")
    assert found(ended) == search.system.refs[2]
    for ref, status in ((failed, "FAILED"), (stopped, "TERMINATED")):
        assert ended.text.count(f"Passing over Buddy execution {ref}, which ended {status}.") == 1


def test_a_running_one_does_not_hide_the_first_success(search: Search) -> None:
    search.start("INPROGRESS")
    ref = search.start("SUCCESSFUL", started_at=search.clock.now() - 10)
    assert found(search.run(match="first_succeeded")) == ref


def test_before_and_after(search: Search) -> None:
    now = search.clock.now()
    search.start("SUCCESSFUL", started_at=now - 900)
    ref = search.start("SUCCESSFUL", started_at=now - 500)
    search.start("SUCCESSFUL", started_at=now - 100)
    assert found(search.run(started_after=moment(now - 600), started_before=moment(now - 200), match="latest")) == ref
    assert found(search.run(finished_after=moment(now - 510), started_before=moment(now - 200))) == ref


@pytest.mark.parametrize("list_tells", [True, False])
@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"branch": "dev"}, {"branch": "dev"}),
        ({"tag": "v1"}, {"tag": "v1"}),
        ({"revision": "2aeec94"}, {"revision": "2aeec94b6d21a3a9e32ba9cbd1a83e1cf3c0dd2b"}),
        ({"comment": "night"}, {"comment": "the nightly release"}),
    ],
    ids=str,
)
def test_what_may_be_asked_for(emulator: Emulator, asked: dict[str, str], given: dict[str, str], list_tells: bool) -> None:
    search = Search(emulator, "sensor-deferrable")
    emulator.buddy.list_has_comment = list_tells
    search.start("SUCCESSFUL", started_at=search.clock.now() - 90, branch="main", comment="by hand")
    ref = search.start("SUCCESSFUL", started_at=search.clock.now() - 80, **given)
    search.start("SUCCESSFUL", started_at=search.clock.now() - 70, branch="main")
    assert found(search.run(**asked)) == ref


@pytest.mark.parametrize("by", ["release", "id"])
def test_pipelines_by_name_and_id(emulator: Emulator, by: str) -> None:
    search = Search(emulator, "sensor-reschedule")
    ref = search.start()
    assert found(search.run(pipeline=search.pipeline.id if by == "id" else by)) == ref


# Rows of the table


@pytest.mark.parametrize("match", ["first", "latest"])
def test_superseded(search: Search, match: str) -> None:
    """An execution that Buddy skips for a newer one was found, and is judged as any skipped one."""
    search.start("SKIPPED")
    ended = search.run(match=match)
    assert ended.state == "skipped"
    assert ended.xcoms["execution"]["phase"] == "SKIPPED"
    assert search.run(match=match, on_skipped="succeed").state == "success"


def test_superseded_is_passed_over_by_a_search_for_success(search: Search) -> None:
    search.start("SKIPPED")
    search.clock.later(0.4, search.start)
    assert found(search.run(match="first_succeeded")) == search.system.refs[1]


def test_revived_after_the_sensor_failed(search: Search) -> None:
    """What it found survives the retry: the same execution is followed, not a newer one."""
    ref = search.fails_once()
    task = search.task()
    assert type(task.run().error) is errors.ExecutionFailed
    search.start("SUCCESSFUL")
    search.buddy.revive(ref)
    assert found(task.run()) == ref


@pytest.mark.parametrize("match", ["first", "latest"])
def test_what_was_found_survives_a_retry(search: Search, match: str) -> None:
    ref = search.start("FAILED", started_at=search.clock.now() - 100)
    task = search.task(match=match)
    task.run()
    search.start("SUCCESSFUL", started_at=search.clock.now() - 200)
    search.start("SUCCESSFUL")
    ended = task.run()
    assert type(ended.error) is errors.ExecutionFailed
    assert ended.xcoms["ref"] == ref


def test_what_was_found_survives_a_reschedule(emulator: Emulator) -> None:
    """The newest of all is taken once, however many come while it runs."""
    search = Search(emulator, "sensor-reschedule")
    search.pipeline.actions = [Action("Build", seconds=2.0)]
    ref = search.start()
    once_looked(search, search.start)
    assert found(search.run(match="latest", poke_interval=0.5)) == ref


def test_a_clear_by_a_person_searches_anew(search: Search) -> None:
    search.start("FAILED", started_at=search.clock.now() - 100)
    task = search.task(match="latest")
    task.run()
    ref = search.start("SUCCESSFUL")
    task.clear()
    assert found(task.run()) == ref


@pytest.mark.parametrize(("state", "ref"), [("restarting", 1), ("running", 0)], ids=["cleared", "evicted"])
def test_a_running_sensor_that_is_told_to_stop(emulator: Emulator, state: str, ref: int) -> None:
    """After a clear that Airflow did not count in ``max_tries`` it searches anew; after an eviction it goes on."""
    search = Search(emulator, "sensor-poke")
    search.pipeline.actions = [Action("Build", seconds=5.0)]
    refs = [search.start()]
    task = search.task(match="latest")
    search.system.fault("status", "read", status=403, after=10, times=1)  # the end of the process, which Airflow would kill
    with task.terminated(lambda: search.system.count("read") >= 1, state):
        assert type(task.run().error) is errors.Forbidden
    refs.append(search.start())
    task.clear_number += 1
    task.api.states.clear()
    assert found(task.run()) == refs[ref]


def test_re_run_under_its_id_is_taken(search: Search) -> None:
    ref = search.fails_once()
    search.clock.later(0.4, lambda: search.buddy.revive(ref))
    assert found(search.run(match="first_succeeded")) == ref


def test_re_run_under_a_new_id(search: Search) -> None:
    """``first`` keeps to what it found; ``first_succeeded`` takes the new one."""
    search.buddy.retry_keeps_id = False
    ref = search.fails_once()
    search.clock.later(0.4, lambda: search.buddy.retry(search.buddy.find(ref)))
    assert found(search.run(match="first_succeeded")) == search.system.refs[1]
    assert search.run(match="first").xcoms["ref"] == ref


def test_revived_while_it_is_followed(search: Search) -> None:
    """Seen to have succeeded, it runs again: it is followed to its real end."""
    ref = search.start("SUCCESSFUL")
    task = search.task()
    search.emulator.faults.add(
        Fault("body", path=rf"/executions/{ref.rpartition('/')[2]}$", body={"id": 1, "status": "INPROGRESS"}, times=3)
    )
    assert found(task.run()) == ref


def test_never_appearing(search: Search) -> None:
    ended = search.run(timeout=0.5)
    assert type(ended.error) is AirflowSensorTimeout
    assert ended.state == "failed"
    assert "No execution of pipeline 'release' in demo/shop was found within the sensor's timeout of 0.5 s" in str(ended.error)
    assert "ref" not in ended.xcoms
    assert search.run(timeout=0.5, soft_fail=True).state == "skipped"


def test_never_succeeding(search: Search) -> None:
    ref = search.start("FAILED")
    ended = search.run(timeout=0.5, match="first_succeeded")
    assert type(ended.error) is AirflowSensorTimeout
    assert f"Passed over: {ref}." in str(ended.error)


def test_deleted_while_it_is_followed(search: Search) -> None:
    ref = search.start("INPROGRESS")
    once_looked(search, lambda: search.buddy.delete(ref))
    assert type(search.run(poke_interval=10.0, timeout=600.0).error) is errors.ExecutionVanished


def test_a_pipeline_that_answers_404(search: Search) -> None:
    """It was never there: nothing is gained by waiting."""
    ended = search.run(pipeline=999, poke_interval=10.0, timeout=600.0)
    assert type(ended.error) is errors.ExecutionVanished
    for part in ("pipeline 999 in demo/shop", "was never seen here: check its id or name", "Asked for:", "connection 'buddy_default'"):
        assert part in str(ended.error)
    assert len([entry for entry in search.emulator.ledger.entries if entry.status == 404]) == 1


def test_a_pipeline_that_answers_404_for_a_while(search: Search) -> None:
    """It was there before."""
    search.emulator.faults.add(Fault("status", status=404, method="GET", path=LIST, after=1, times=3))
    current().later(120.0, search.start)
    assert search.run(poke_interval=10.0, timeout=600.0).state == "success"


def test_a_pipeline_that_is_deleted_during_the_search(search: Search) -> None:
    search.emulator.faults.add(Fault("status", status=404, method="GET", path=LIST, after=1, times=None))
    ended = search.run(poke_interval=10.0, timeout=600.0)
    assert type(ended.error) is errors.ExecutionVanished
    assert "has answered 404 for a while: deleted, or hidden from this connection." in str(ended.error)
    assert "Asked for:" in str(ended.error)


def test_an_unknown_pipeline(search: Search) -> None:
    ended = search.run(pipeline="relaese")
    assert type(ended.error) is errors.ConfigurationError
    assert "release (1)" in str(ended.error)
    assert ended.state == "failed"


def test_the_list_can_not_be_read_for_a_while(search: Search) -> None:
    search.start()
    for kind in ("html", "empty", "truncated", "drop_before"):
        search.emulator.faults.add(Fault(kind, method="GET", path=LIST))
    assert search.run().state == "success"


def test_the_list_can_not_be_read_for_too_long(search: Search) -> None:
    search.emulator.faults.add(Fault("html", method="GET", path=LIST, times=None))
    ended = search.run(poke_interval=300.0, timeout=3_600.0)
    assert type(ended.error) is errors.ExecutionUnreachable
    assert "pipeline 'release' in demo/shop" in str(ended.error)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials(search: Search, status: int) -> None:
    search.emulator.faults.add(Fault("status", status=status, times=None))
    ended = search.run(soft_fail=True)
    assert type(ended.error) in (errors.Unauthorized, errors.Forbidden)
    assert ended.state == "failed"


@pytest.mark.parametrize("on_waiting", ["fail", "succeed"])
def test_at_a_gate(search: Search, on_waiting: str) -> None:
    search.pipeline.actions = search.system.script("gate").actions
    search.start()
    ended = search.run(on_waiting=on_waiting)
    assert ended.state == ("success" if on_waiting == "succeed" else "failed")
    assert "waits for a person (WAITING_FOR_APPLY): Approve (WAIT_FOR_APPLY) 'ship it?'. See http" in ended.text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"started_after": "yesterday"}, "started_after must be a moment"),
        ({"started_after": "2026-01-02", "started_before": "2026-01-01"}, "is not before started_before"),
        ({"revision": "2ae"}, "too short"),
        ({"project": ""}, "The argument project is an empty text"),
    ],
    ids=str,
)
def test_wrong_arguments(search: Search, arguments: dict[str, Any], says: str) -> None:
    ended = search.run(timeout=0.3, **arguments)
    assert type(ended.error) is errors.ConfigurationError
    assert says in str(ended.error)
    assert search.emulator.ledger.entries == []


def test_only_known_ways_to_match(search: Search) -> None:
    with pytest.raises(ValueError, match="match must be one of 'first', 'latest', 'first_succeeded'"):
        search.run(match="last")


# In the triggerer


def test_the_link_works_while_it_is_deferred(emulator: Emulator) -> None:
    search = Search(emulator, "sensor-deferrable")
    task = search.task()
    seen: list[dict[str, Any]] = []
    search.clock.later(0.4, search.start)
    task.after_trigger = lambda _: seen.append(dict(task.api.xcoms))
    ended = task.run()
    assert [xcoms["url"] for xcoms in seen] == [ended.result["url"]]
    assert seen[0]["ref"] == ended.result["ref"]
    assert ended.defers == 1


def test_another_triggerer_goes_on_with_what_was_found(emulator: Emulator) -> None:
    search = Search(emulator, "sensor-deferrable")
    ref = search.start("INPROGRESS")
    task = search.task(match="latest")

    class Stop(Exception):
        pass

    def stop(_: object) -> None:
        raise Stop

    task.on_defer = stop
    with pytest.raises(Stop):
        task.run()
    task.kill_trigger(lambda: "url" in task.api.xcoms, "deferred")
    search.start("SUCCESSFUL")
    search.buddy.finish(ref)
    assert task.run_trigger()["ref"] == ref
    assert search.system.cancels == 0


def test_a_trigger_that_can_not_read_what_another_found_searches_for_itself(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Airflow does not answer")

    search = Search(emulator, "sensor-deferrable")
    ref = search.start()
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom.aget_value", fails)
    assert found(search.run()) == ref


def test_what_a_dead_trigger_had_found_survives_the_retry(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(emulator, "sensor-deferrable")
    ref = search.start("INPROGRESS")
    task = search.task(match="latest")
    triggers = []

    def dies(self: TaskRun) -> dict[str, Any]:
        triggers.append(task.kill_trigger(lambda: "url" in task.api.xcoms, "deferred"))
        self.deferred.next_method = "__fail__"  # type: ignore[union-attr]
        self.deferred.next_kwargs = {"error": "Trigger failure"}  # type: ignore[union-attr]
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(TaskRun, "run_trigger", dies)
        ended = task.run()
    assert type(ended.error) is errors.ExecutionInterrupted, ended.text
    search.start("SUCCESSFUL")
    search.buddy.finish(ref)
    assert found(task.run()) == ref


# What lists leave out, and what templates change


def test_a_delayed_one_is_not_the_first(search: Search) -> None:
    """It has not started: whichever starts first is the first."""
    make = lambda: BuddyRunPipelineOperator(  # noqa: E731
        task_id="r", pipeline=1, delay_until="2099-01-01T00:00:00Z", wait_for_completion=False
    )
    delayed = TaskRun(make, search.system.connections).run().result["ref"]
    search.clock.later(0.5, search.start)
    assert found(search.run()) == search.system.refs[1] != delayed


@pytest.mark.parametrize("status", ["SUCCESSFUL", "INPROGRESS"])
def test_a_list_without_start_times(search: Search, status: str) -> None:
    before = search.start("SUCCESSFUL", started_at=search.clock.now() - 900)
    ref = search.start(status, started_at=search.clock.now() - 100)
    bare = {"executions": [{"id": 2, "status": status}, {"id": 1, "status": "SUCCESSFUL"}], "total_page_count": 1}
    search.emulator.faults.add(Fault("body", path=LIST, body=bare, times=None))
    if status == "INPROGRESS":
        search.clock.later(0.4, lambda: search.buddy.finish(ref))
    after = datetime.fromtimestamp(search.clock.now() - 500, timezone.utc)
    assert found(search.run(started_after=after)) == ref
    assert found(search.run(started_before=after)) == before


def test_the_bounds_of_the_first_look_stay(emulator: Emulator) -> None:
    """A template that gives another moment at each poke does not begin the search anew."""
    search = Search(emulator, "sensor-reschedule")
    search.pipeline.actions = [Action("Build", seconds=2.0)]
    ref = search.start()
    once_looked(search, search.start)
    moments = iter(range(1_000))
    make = lambda: BuddyPipelineSensor(  # noqa: E731
        task_id="task", pipeline="release", match="latest", mode="reschedule", poke_interval=0.5, timeout=30,
        started_after=datetime.fromtimestamp(search.clock.now() - 3_600 + next(moments), timezone.utc),
    )  # fmt: skip
    ended = TaskRun(make, search.system.connections).run()
    assert found(ended) == ref
    assert ended.text.count("Found Buddy execution") == 1
