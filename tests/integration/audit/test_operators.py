"""The audit operators through a real task runner: collection, windows, baselines, what is handed on, failing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, BaseOperator

from airflow_provider import _clock
from airflow_provider.audit.collect.spool import Spool
from airflow_provider.audit.operators import (
    AuditBuddyConfigurationOperator,
    AuditExecutionsOperator,
    AuditReportOperator,
    AuditTracecatConfigurationOperator,
)
from airflow_provider.emulator import Emulator, Fault, alga_psa, tracecat
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.errors import AuditFailed, ConfigurationError, ConnectionMissing, ExecutionApiError, Unauthorized
from airflow_provider.execution.results.outputs import safe_name
from tests import harness
from tests.airflow_inside import natively
from tests.harness import Ended, TaskRun
from tests.integration.audit.test_collect import ALL, busy
from tests.virtual_clock import VirtualClock

HOUR = 3600.0
SECRET = "hunter2-in-plain-text"
MODES = {"worker": False, "triggerer": True}


@pytest.fixture(autouse=True)
def _own_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()


@pytest.fixture(params=list(MODES))
def deferrable(request: pytest.FixtureRequest) -> bool:
    return MODES[request.param]


class Tasks:
    """Makes tasks that keep their reports and their spool in the test's folder."""

    def __init__(self, folder: Path, connections: dict[str, dict[str, Any]]) -> None:
        self.folder = folder
        self.connections = connections

    def run(
        self, kind: type[BaseOperator], *, spool: bool = True, retries: int = 2, params: dict[str, Any] | None = None, **arguments: Any
    ) -> TaskRun:
        places: dict[str, Any] = {"reports_path": f"file://{self.folder}/reports"}
        if kind is not AuditReportOperator and spool:
            places["spool_path"] = f"file://{self.folder}/spool"
        native, make = natively(arguments), lambda: kind(task_id=kind.__name__, **{**places, **arguments})
        return TaskRun(make, self.connections, retries=retries, params=params, native=native)

    def configuration(self, **arguments: Any) -> TaskRun:
        return self.run(AuditBuddyConfigurationOperator, **arguments)

    def executions(self, *systems: str, **arguments: Any) -> TaskRun:
        targets = [{"conn_id": f"{system}_default"} for system in systems or ALL]
        return self.run(AuditExecutionsOperator, **{"targets": targets, **arguments})

    def report(self, *reports: Any, **arguments: Any) -> Ended:
        return self.run(AuditReportOperator, reports=list(reports), **arguments).run()

    def left(self) -> list[Path]:
        """Records that are still there."""
        return [path for place in ("spool", "tmp") for path in (self.folder / place).rglob("part-*")]


@pytest.fixture
def tasks(tmp_path: Path, connections: dict[str, dict[str, Any]]) -> Tasks:
    return Tasks(tmp_path, connections)


def good(ended: Ended) -> dict[str, Any]:
    assert ended.state == "success", f"{ended.error!r}\n{ended.text}"
    result: dict[str, Any] = ended.result
    return result


def read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path.removeprefix("file://")).read_text())
    return found


def pipeline(emulator: Emulator, tag: str | None = "latest", timeout: int = 60, **fields: Any) -> Pipeline:
    definition = {"docker_image_name": "node", "docker_image_tag": tag, "timeout": timeout, "password": SECRET}
    return emulator.buddy.add_pipeline(
        Pipeline("p", actions=[Action("a", "RUN_DOCKER_CONTAINER", seconds=1.0, definition=definition)], **fields)
    )


def retag(made: Pipeline, tag: str) -> None:
    made.actions[0].definition["docker_image_tag"] = tag


@pytest.fixture
def in_run(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the tasks from now on belong to another run, a minute later."""

    def in_run(run_id: str) -> None:
        clock.advance(60)
        monkeypatch.setattr(harness, "RUN_ID", run_id)

    return in_run


# What comes of it


def test_configuration_is_audited(emulator: Emulator, tasks: Tasks, deferrable: bool) -> None:
    pipeline(emulator)
    ended = tasks.configuration(deferrable=deferrable).run()
    summary = good(ended)
    assert ended.defers == deferrable
    assert [finding["rule"] for finding in read(summary["findings"])["findings"] if finding["rule"] == "BDY001"] == ["BDY001"]
    assert summary["counts"]["high"] >= 1
    assert (summary["subjects"]["action"], summary["complete"], summary["gaps"], summary["since"]) == (1, True, 0, None)
    assert tasks.left() == [], "records hold secrets, so none stays"


def test_executions_of_all_systems_are_audited(emulator: Emulator, tasks: Tasks, deferrable: bool) -> None:
    busy(emulator)
    ended = tasks.executions(deferrable=deferrable).run()
    summary = good(ended)
    assert ended.defers == deferrable
    assert summary["subjects"]["execution"] == 12
    assert summary["gaps"] == 0
    assert datetime.fromisoformat(summary["until"]) - datetime.fromisoformat(summary["since"]) == timedelta(hours=24)


def test_no_secret_gets_into_xcom_reports_log_or_trigger(emulator: Emulator, tasks: Tasks, deferrable: bool) -> None:
    made = pipeline(emulator)
    made.actions[0].definition["variables"] = [{"key": "PASSWORD", "value": SECRET, "encrypted": False}]
    task = tasks.configuration(deferrable=deferrable)
    ended = task.run()
    good(ended)
    kept = [path.read_text() for path in (tasks.folder / "reports").rglob("*") if path.is_file()]
    assert len(kept) == 3, "findings, baseline, state"
    for text in (*kept, json.dumps(ended.xcoms), ended.text, repr(task.deferred)):
        assert SECRET not in text
        assert emulator.buddy.token not in text


def test_xcom_holds_counts_and_paths(emulator: Emulator, tasks: Tasks) -> None:
    for _ in range(30):
        emulator.buddy.add_pipeline(
            Pipeline("p", actions=[Action(f"a{n}", "RUN_DOCKER_CONTAINER", definition={"docker_image_name": "node"}) for n in range(3)])
        )
    assert len(json.dumps(good(tasks.configuration().run()))) < 2_000


def test_without_a_shared_spool_the_worker_reads(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    ended = tasks.configuration(deferrable=True, spool=False).run()
    good(ended)
    assert ended.defers == 0
    assert tasks.left() == []


def test_records_kept_on_the_machine_are_for_its_user_alone(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    base = next((tasks.folder / "tmp").glob("airflow-audit-*"), None)
    assert base is None
    good(tasks.configuration(spool=False).run())
    [base] = (tasks.folder / "tmp").glob("airflow-audit-*")
    assert base.stat().st_mode & 0o077 == 0
    base.chmod(0o755)
    ended = tasks.configuration(spool=False).run()
    assert isinstance(ended.error, ConfigurationError)


# Windows


def window(summary: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(summary["since"]), datetime.fromisoformat(summary["until"])


def test_each_window_begins_where_the_last_good_one_ended(emulator: Emulator, tasks: Tasks, in_run: Callable[[str], None]) -> None:
    busy(emulator)
    first = window(good(tasks.executions("alga_psa").run()))
    in_run("manual__2")
    fault = emulator.faults.add(Fault("status", status=401, times=None))
    assert tasks.executions("alga_psa").run().state != "success"
    fault.times = 0
    in_run("manual__3")
    third = window(good(tasks.executions("alga_psa", allow=["empty"]).run()))
    assert third[0] == first[1], "the failed one does not count"
    in_run("manual__4")
    assert isinstance(tasks.executions("alga_psa").run().error, AuditFailed), "nothing has run meanwhile"
    in_run("manual__5")
    assert window(good(tasks.executions("alga_psa", allow=["empty"]).run()))[0] == third[1]


def test_a_run_that_is_cleared_audits_its_window_anew(emulator: Emulator, tasks: Tasks, in_run: Callable[[str], None]) -> None:
    busy(emulator)
    good(tasks.executions("alga_psa").run())
    in_run("manual__2")
    task = tasks.executions("alga_psa", allow=["empty"])
    second = window(good(task.run()))
    task.clear()
    assert window(good(task.run()))[0] == second[0]
    in_run("manual__3")
    assert window(good(tasks.executions("alga_psa", allow=["empty"]).run()))[0] > second[0]


@pytest.mark.parametrize("kind", ["scheduled", "asset_triggered", "manual", "backfill"])
def test_the_data_interval_makes_no_difference(emulator: Emulator, tasks: Tasks, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Under cron it has no width, asset and manual runs have none."""
    busy(emulator)
    played = harness.PlayedApi.__call__
    at = _clock.utc_now().isoformat() if kind in ("scheduled", "backfill") else None

    def answer(self: harness.PlayedApi, request: Any) -> Any:
        if request.method == "PATCH" and request.url.path.endswith("/run"):
            interval = {"data_interval_start": at, "data_interval_end": at, "logical_date": at, "run_type": kind}
            self.run["dag_run"] |= interval
        return played(self, request)

    monkeypatch.setattr(harness.PlayedApi, "__call__", answer)
    since, until = window(good(tasks.executions("alga_psa").run()))
    assert until - since == timedelta(hours=24)
    anchored = window(good(tasks.executions("alga_psa", since="{{ macros.datetime(2025, 12, 1) }}", until="{{ dag_run.run_after }}").run()))
    assert anchored[0] == datetime(2025, 12, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2999-01-01T00:00:00Z", None),
        ("{{ data_interval_start or dag_run.run_after }}", "{{ data_interval_end or dag_run.run_after }}"),
        ("yesterday", None),
    ],
)
def test_an_empty_window_is_an_error_before_anything_is_read(emulator: Emulator, tasks: Tasks, since: str, until: str | None) -> None:
    ended = tasks.executions(since=since, until=until).run()
    assert isinstance(ended.error, ConfigurationError)
    assert not emulator.ledger.entries
    assert tasks.left() == []


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["{{ '' }}", "{{ none }}", "{{ data_interval_start }}"])
@pytest.mark.parametrize("native", [{}, {"render_template_as_native_obj": True}], ids=["text", "native"])
def test_a_time_that_is_nothing_is_no_window(emulator: Emulator, tasks: Tasks, name: str, value: str, native: dict[str, Any]) -> None:
    ended = tasks.executions("alga_psa", **{name: value}, **native).run()
    assert type(ended.error) is ConfigurationError
    assert f"argument {name} was written as" in str(ended.error)
    assert not emulator.ledger.entries


# Arguments that make no sense


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"targets": []}, ConfigurationError, "targets"),
        ({"targets": "buddy_default"}, ConfigurationError, "targets"),
        ({"targets": [{"scope": "x"}]}, ConfigurationError, "conn_id"),
        ({"targets": [{"conn_id": "buddy_default", "pipeline": "x"}]}, ConfigurationError, "scope"),
        ({"targets": [{"conn_id": "nowhere"}]}, ConnectionMissing, "nowhere"),
        ({"targets": [{"conn_id": "other"}]}, ConfigurationError, "'http'"),
        ({"targets": [{"conn_id": "buddy_default", "scope": "a/b/c/d"}]}, ConfigurationError, "scope"),
        ({"settings": {"limits": {"nonsense": 1}}}, ConfigurationError, "limits.nonsense"),
        ({"settings": "/nowhere/settings.toml"}, ConfigurationError, "settings.toml"),
        ({"waivers": "/nowhere/waivers.toml"}, ConfigurationError, "waivers.toml"),
    ],
)
def test_arguments_that_make_no_sense_are_a_clear_error(
    emulator: Emulator, tasks: Tasks, arguments: dict[str, Any], error: type[Exception], told: str
) -> None:
    busy(emulator)
    tasks.connections["other"] = {"conn_type": "http", "host": "http://127.0.0.1:1"}
    ended = tasks.executions(**arguments).run()
    assert isinstance(ended.error, error)
    assert told in str(ended.error)


def test_projects_must_be_a_list(tasks: Tasks) -> None:
    assert "projects must be a list" in str(tasks.configuration(projects="shop").run().error)


PARAMS: dict[str, Any] = {"nothing": None, "empty": "", "list": [], "dict": {}, "version": "1.10", "line": {"severity": "medium"}}
NATIVE: dict[str, Any] = {"render_template_as_native_obj": True, "params": PARAMS}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"fail_on": "{{ params.nothing }}"}, "argument fail_on was written as '{{ params.nothing }}', and renders to None"),
        ({"fail_on": "{{ params.line.get('severty') }}"}, "argument fail_on"),
        ({"fail_on": "{{ params.empty }}"}, "argument fail_on"),
        ({"fail_on": "{{ params.dict }}"}, "gives an empty dict"),
        ({"fail_on": {"severity": "{{ params.nothing }}"}}, "argument fail_on['severity']"),
        ({"fail_on": ""}, "fail_on must be a severity"),
        ({"fail_on": "{{ [1] }}"}, "fail_on must be a severity"),
        ({"formats": "{{ params.list }}"}, "argument formats"),
        ({"formats": "html"}, "formats must be a list"),
        ({"reports": "{{ params.list }}"}, "argument reports"),
        ({"reports": ["{{ params.nothing }}"]}, "argument reports[0]"),
        ({"reports": "report.json"}, "reports must be a list"),
        ({"settings": {"time_zone": "{{ params.nothing }}"}}, "argument settings['time_zone']"),
    ],
)
@pytest.mark.parametrize("native", [{"params": PARAMS}, NATIVE], ids=["text", "native"])
def test_a_report_is_not_made_of_nothing(tasks: Tasks, native: dict[str, Any], arguments: dict[str, Any], told: str) -> None:
    if native is not NATIVE and any(text in str(arguments) for text in ("params.list", "params.dict", "[1]")):
        told = ""  # the text of a list or a dict, which is refused as well
    ended = tasks.run(AuditReportOperator, **{"reports": [], "allow": ["empty"], **arguments, **native}).run()
    assert type(ended.error) is ConfigurationError
    assert told in str(ended.error)
    assert ended.state == "failed", "trying again would change nothing"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"pipelines": [1.1]}, "pipelines must be texts, such as '1.10' in quotes"),
        ({"projects": ["shop", True]}, "projects must be texts"),
        ({"projects": [None]}, "projects must be texts"),
        ({"projects": ["{{ params.empty }}"]}, "argument projects[0]"),
        ({"pipelines": "{{ params.list }}"}, "argument pipelines"),
        ({"settings": "{{ params.empty }}"}, "argument settings"),
        ({"settings": "{{ params.dict }}"}, "argument settings"),
        ({"settings": "{{ [1] }}"}, "settings must be the path of a file, or a dict, not list"),
        ({"waivers": "{{ params.empty }}"}, "argument waivers"),
        ({"waivers": {"a": 1}}, "argument waivers must be text, not dict"),
        ({"reports_path": ""}, "reports_path is an empty text"),
        ({"reports_path": "{{ params.empty }}"}, "argument reports_path"),
    ],
)
def test_configuration_is_not_audited_by_arguments_that_are_nothing(tasks: Tasks, arguments: dict[str, Any], told: str) -> None:
    ended = tasks.configuration(**arguments, **NATIVE).run()
    assert type(ended.error) is ConfigurationError
    assert told in str(ended.error)


@pytest.mark.parametrize("scope", ["{{ params.nothing }}", "{{ params.empty }}", "", 1.1, "acme/{{ params.nothing }}"])
def test_a_scope_that_is_nothing_is_not_all(tasks: Tasks, scope: Any) -> None:
    ended = tasks.run(AuditExecutionsOperator, targets=[{"conn_id": "buddy_default", "scope": scope}], **NATIVE).run()
    assert type(ended.error) is ConfigurationError
    assert "scope" in str(ended.error)


def test_names_stay_what_was_written(emulator: Emulator, tasks: Tasks) -> None:
    emulator.buddy.add_pipeline(Pipeline("1.1", actions=[]))
    emulator.buddy.add_pipeline(Pipeline("1.10", actions=[Action("a")]))
    summary = good(tasks.configuration(pipelines=["{{ params.version }}"], **NATIVE).run())
    assert summary["subjects"]["action"] == 1


@pytest.mark.parametrize("line", ["never", "{{ params.nothing or 'never' }}", None])
def test_an_audit_that_never_fails_says_so(emulator: Emulator, tasks: Tasks, line: Any) -> None:
    pipeline(emulator)
    audit = good(tasks.configuration().run())
    assert tasks.report(audit, fail_on="high").state == "failed"
    assert tasks.report(audit, fail_on="{{ params.line }}", **NATIVE).state == "failed"
    good(tasks.report(audit, fail_on=line, **NATIVE))


def test_arguments_that_become_nothing_while_a_task_is_deferred_are_refused(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    (tasks.folder / "waivers.yaml").write_text("waivers: []")
    task = tasks.configuration(deferrable=True, waivers="{{ params.file }}", params={"file": str(tasks.folder / "waivers.yaml")})
    task.on_defer = lambda _: task.params.update(file=None)  # type: ignore[union-attr]
    ended = task.run()
    assert ended.defers == 1
    assert type(ended.error) is ConfigurationError
    assert "argument waivers" in str(ended.error)
    assert tasks.left() == []


# Retries


def test_a_retry_goes_on_with_the_same_window(emulator: Emulator, tasks: Tasks, deferrable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.audit.collect.spool.PART_BYTES", 1)
    monkeypatch.setattr(Spool.__init__, "__kwdefaults__", {"part_bytes": 1, "part_seconds": 30.0})
    busy(emulator, executions=30)
    task = tasks.executions("buddy", deferrable=deferrable)
    fault = emulator.faults.add(Fault("drop_before", times=None, after=150))
    monkeypatch.setattr("airflow_provider.audit.collect.source.FAILURES", 1)
    monkeypatch.setattr("airflow_provider.execution.http.retrying.MAX_ATTEMPTS", 1)
    failed = task.run()
    assert isinstance(failed.error, ExecutionApiError)
    assert tasks.left()
    [header] = {json.dumps(json.loads(path.read_text().splitlines()[-1])["note"]) for path in tasks.left()}
    fault.times, before = 0, len(emulator.ledger.entries)
    summary = good(task.run())
    assert summary["subjects"]["execution"] == 60
    assert {"since": summary["since"], "until": summary["until"]} == json.loads(header)
    assert len(emulator.ledger.entries) - before < 60 * 3 + 5 - 16
    assert tasks.left() == []


def test_a_refused_credential_leaves_nothing_behind(emulator: Emulator, tasks: Tasks, deferrable: bool) -> None:
    busy(emulator, executions=30)
    emulator.faults.add(Fault("status", status=401, times=None, after=50))
    ended = tasks.executions("buddy", deferrable=deferrable).run()
    assert isinstance(ended.error, Unauthorized)
    assert tasks.left() == []


def test_another_triggerer_goes_on_where_the_first_one_was(emulator: Emulator, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool.__init__, "__kwdefaults__", {"part_bytes": 1, "part_seconds": 30.0})
    busy(emulator, executions=30)
    task = tasks.executions("buddy", deferrable=True)
    handed_over: list[int] = []

    def hand_over(_: Any) -> None:
        task.kill_trigger(lambda: len(tasks.left()) >= 2, "deferred")
        handed_over.append(len(emulator.ledger.entries))

    task.on_defer = hand_over
    assert good(task.run())["subjects"]["execution"] == 60
    [before] = handed_over
    assert before > 30
    assert len(emulator.ledger.entries) - before < 60 * 3 + 5 - 16


def test_a_spool_that_worker_and_triggerer_do_not_share_is_an_error(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    task = tasks.configuration(deferrable=True)

    def lose(_: object) -> None:
        for path in tasks.left():
            path.unlink()

    task.after_trigger = lose
    ended = task.run()
    assert isinstance(ended.error, ConfigurationError)
    assert "spool_path must be shared" in str(ended.error)


def test_of_huge_fields_a_part_is_audited_and_the_rest_is_told(emulator: Emulator, tasks: Tasks) -> None:
    made = pipeline(emulator)
    huge = [{"key": "BLOB", "value": "x" * 3_000_000, "encrypted": False}, {"key": "LINES", "value": "a b\n" * 200_000}]
    made.actions[0].definition["variables"] = huge
    made.actions[0].definition["execute_commands"] = ["echo " + "y" * 1_000_000, *["true"] * 2_000]
    logged = emulator.buddy.add_pipeline(Pipeline("logged", actions=[Action("a", log=["line of a log"], lines=20_000, seconds=1.0)]))
    emulator.buddy.add_execution(logged, "SUCCESSFUL", started_at=_clock.now() - HOUR)
    for task in (tasks.configuration(allow=["gaps"]), tasks.executions("buddy")):
        summary = good(task.run())
        if "action" in summary["subjects"]:
            reasons = {gap["reason"].partition(":")[0] for gap in read(summary["findings"])["gaps"]}
            assert reasons == {"variables.value", "execute_commands", "variables"}
        else:
            assert summary["complete"]
        assert Path(summary["findings"].removeprefix("file://")).stat().st_size < 1_000_000


# Baselines


def test_new_unchanged_and_fixed_from_run_to_run(emulator: Emulator, tasks: Tasks, in_run: Callable[[str], None]) -> None:
    made = pipeline(emulator, timeout=0)
    only = {"settings": {"persona": "default"}}
    first = good(tasks.configuration(**only).run())
    assert first["new"] == len(read(first["findings"])["findings"]), "without a baseline, all are new"
    in_run("manual__2")
    retag(made, "22.11.0")
    task = tasks.configuration(**only)
    second = good(task.run())
    assert (second["new"], second["fixed"]) == (1, 1), "BDY001 is gone, and BDY027 tells of the change"
    task.clear()
    assert good(task.run())["fixed"] == 1, "a cleared run compares with the same one again"
    in_run("manual__3")
    retag(made, "edge")
    third = good(tasks.configuration(**only).run())
    assert (third["new"], third["fixed"]) == (2, 0)


def test_a_state_that_is_none_is_a_clear_error(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    good(tasks.configuration().run())
    [state] = (tasks.folder / "reports").rglob("state.json")
    state.write_text("[]")
    assert "Remove it to start over" in str(tasks.configuration().run().error)


def test_waivers_are_heeded(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    file = tasks.folder / "waivers.toml"
    file.write_text('[[waivers]]\nrule = "BDY001"\nsubject = "*"\nreason = "planned"\ntext = "t"\nowner = "o"\nexpires = 2999-01-01\n')
    assert good(tasks.configuration(waivers=str(file)).run())["waived"] == 1


# The report


def test_audits_are_joined_and_new_findings_fail(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    busy(emulator)
    audits = [good(tasks.configuration().run()), good(tasks.executions("tracecat").run())]
    ended = tasks.report(*audits)
    assert isinstance(ended.error, AuditFailed)
    assert "BDY001" in str(ended.error)
    joined = ended.xcoms["audit"]
    assert {*joined["subjects"]} >= {"action", "execution", "window"}
    assert joined["since"] == audits[1]["since"]
    assert len(read(joined["findings"])["findings"]) == sum(len(read(one["findings"])["findings"]) for one in audits)


def test_without_a_folder_the_report_lies_beside_the_first_audit(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    audit = good(tasks.configuration().run())
    for first in (audit, audit["findings"]):
        reports = good(tasks.report(None, first, fail_on=None, reports_path=None, allow=["gaps"]))["reports"]
        assert {Path(path).parent for path in reports.values()} == {Path(audit["findings"]).parent / safe_name("AuditReportOperator")}
        assert all(Path(path.removeprefix("file://")).stat().st_size for path in reports.values())
    assert isinstance(tasks.report(None, reports_path=None).error, ConfigurationError)


def test_a_failed_audit_is_not_retried(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    assert tasks.report(good(tasks.configuration().run())).state == "failed"


@pytest.mark.parametrize(
    ("fail_on", "state"),
    [
        ("high", "failed"), ("critical", "success"), (None, "success"), ("never", "success"),
        ({"severity": "high", "confidence": "high"}, "failed"), ({"severity": "info", "confidence": "low", "new_only": False}, "failed"),
    ],
)  # fmt: skip
def test_the_line_decides(emulator: Emulator, tasks: Tasks, fail_on: Any, state: str) -> None:
    pipeline(emulator)
    assert tasks.report(good(tasks.configuration().run()), fail_on=fail_on).state == state


def test_only_new_findings_fail_unless_all_are_to(emulator: Emulator, tasks: Tasks, in_run: Callable[[str], None]) -> None:
    pipeline(emulator)
    good(tasks.configuration().run())
    in_run("manual__2")
    second = good(tasks.configuration().run())
    assert tasks.report(second).state == "success"
    assert tasks.report(second, fail_on={"severity": "high", "new_only": False}).state == "failed"


def test_reports_come_in_all_formats(emulator: Emulator, tasks: Tasks) -> None:
    pipeline(emulator)
    audit = good(tasks.configuration().run())
    reports = good(tasks.report(audit, fail_on=None))["reports"]
    assert set(reports) == {"json", "sarif", "markdown", "summary", "html"}
    for path in reports.values():
        assert "BDY001" in Path(path.removeprefix("file://")).read_text()
    assert "formats: 'docx'" in str(tasks.report(audit, formats=["docx"]).error)


@pytest.mark.parametrize("reports_path", [True, False], ids=["a folder", "beside the audit"])
def test_the_trend_of_earlier_runs_is_in_the_report(
    emulator: Emulator, tasks: Tasks, in_run: Callable[[str], None], reports_path: bool
) -> None:
    pipeline(emulator)
    counts = []
    for number in range(3):
        in_run(f"run_{number}")
        audit = good(tasks.configuration().run())
        arguments: dict[str, Any] = {} if reports_path else {"reports_path": None}
        report = good(tasks.run(AuditReportOperator, reports=[audit], fail_on=None, **arguments).run())
        trend = json.loads(Path(report["findings"].removeprefix("file://")).read_text())["trend"]
        counts.append([(point["run"], sum(point["counts"].values())) for point in trend])
    found = counts[-1][0][1]
    assert found > 0
    assert counts[-1] == [(f"run_{number}", found) for number in range(3)]
    assert [len(trend) for trend in counts] == [1, 2, 3]


@pytest.mark.parametrize("fail_on", ["awful", {"severity": "high", "when": "new"}])
def test_a_line_that_there_is_not_is_a_clear_error(tasks: Tasks, fail_on: Any) -> None:
    assert "fail_on" in str(tasks.report(fail_on=fail_on).error)


def test_what_could_not_be_read_is_told_and_fails_unless_allowed(emulator: Emulator, tasks: Tasks, deferrable: bool) -> None:
    pipeline(emulator, tag="22.11.0")
    emulator.faults.add(Fault("status", status=403, path=r"/actions/\d+$", times=None))
    failed = tasks.configuration(deferrable=deferrable).run()
    assert isinstance(failed.error, AuditFailed)
    assert "1 gap" in str(failed.error)
    assert not tasks.left()
    audit = good(tasks.configuration(allow=["gaps"], deferrable=deferrable).run())
    assert (audit["complete"], audit["gaps"]) == (False, 1)
    for summary in (audit, failed.xcoms["return_value"]):
        ended = tasks.report(summary)
        assert isinstance(ended.error, AuditFailed)
        assert "1 gap" in str(ended.error)
        assert tasks.report(summary, allow=["gaps"]).state == "success"
    assert tasks.report(None, allow=["gaps", "empty"]).result["gaps"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"projects": ["nope"]}, "does not exist, or is not visible: buddy:demo/nope"),
        ({"projects": ["no*"]}, "does not exist, or is not visible: buddy:demo/no*"),
        ({"projects": ["shop"], "pipelines": ["gone"]}, "buddy:demo/shop/gone"),
        ({"pipelines": ["gone", "g*"]}, "buddy:demo/*/gone, buddy:demo/*/g*"),
        ({"workspace": "elsewhere"}, "buddy:elsewhere"),
    ],
)
def test_an_audit_that_read_nothing_fails(emulator: Emulator, tasks: Tasks, arguments: dict[str, Any], told: str) -> None:
    pipeline(emulator)
    failed = tasks.configuration(**arguments).run()
    assert isinstance(failed.error, AuditFailed)
    assert told in str(failed.error)
    assert tasks.configuration(**arguments, allow=["empty", "missing", "gaps"]).run().state == "success"
    assert isinstance(tasks.report(failed.xcoms["return_value"]).error, AuditFailed)


def test_a_report_about_nothing_fails(tasks: Tasks) -> None:
    assert isinstance(tasks.report(reports_path=f"file://{tasks.folder}/r").error, AuditFailed)
    assert tasks.report(reports_path=f"file://{tasks.folder}/r", allow=["empty"]).state == "success"


def test_a_deferred_audit_goes_on_although_its_window_is_computed_anew(emulator: Emulator, tasks: Tasks) -> None:
    busy(emulator)
    since = "2025-12-31T00:00:{{ 10 + (macros.random() * 49) | int }}.{{ (macros.random() * 999) | int }}Z"
    summary = good(tasks.executions(since=since, deferrable=True).run())
    assert summary["subjects"]["execution"] > 0


@pytest.mark.parametrize("allow", ["gaps", ["everything"], ["gaps", "Empty"]])
def test_what_can_not_be_allowed_is_an_error(allow: Any) -> None:
    with pytest.raises(ValueError, match="allow must be a list of 'gaps', 'empty', 'missing'"):
        AuditReportOperator(task_id="r", reports=[], allow=allow)


def test_a_report_that_is_none_is_a_clear_error(tasks: Tasks) -> None:
    file = tasks.folder / "x.json"
    file.write_text('{"schema": "something"}')
    assert isinstance(tasks.report(f"file://{file}").error, ConfigurationError)
    assert isinstance(tasks.report(f"file://{tasks.folder}/nowhere.json").error, ConfigurationError)


@pytest.mark.parametrize("kind", ["configuration", "report"])
def test_an_asset_event_tells_the_counts(emulator: Emulator, tasks: Tasks, kind: str) -> None:
    pipeline(emulator)
    asset = Asset("audited")
    if kind == "configuration":
        task = tasks.configuration(outlets=[asset])
    else:
        task = tasks.run(AuditReportOperator, reports=[good(tasks.configuration().run())], fail_on=None, outlets=[asset])
    good(task.run())
    [body] = [body for method, path, body in task.api.calls if method == "PATCH" and path.endswith("/state") and body.get("outlet_events")]
    [event] = body["outlet_events"]
    assert event["extra"]["event"] == "audit completed"
    assert event["extra"]["counts"]["high"] >= 1


def test_hostile_names_stay_on_one_line_in_log_and_error(emulator: Emulator, tasks: Tasks) -> None:
    hostile = "x\n::group::y\x1b[31m {{ ti }} <b>"
    definition = {"docker_image_name": "node", "docker_image_tag": "latest"}
    emulator.buddy.add_pipeline(Pipeline(hostile, actions=[Action(hostile, "RUN_DOCKER_CONTAINER", definition=definition)]))
    ended = tasks.report(good(tasks.configuration().run()))
    assert isinstance(ended.error, AuditFailed)
    assert "\n" not in str(ended.error)
    assert "\x1b" not in ended.text


def test_executions_started_by_this_very_audit_window_are_not_read_twice(
    emulator: Emulator, tasks: Tasks, in_run: Callable[[str], None]
) -> None:
    workflow = emulator.tracecat.add_workflow(tracecat.Workflow("w", "w", seconds=0.0))
    rule = emulator.alga_psa.add_rule(alga_psa.Rule("r", actions=[alga_psa.Action(seconds=0.0)]))
    for _ in range(3):
        emulator.tracecat.add_execution(workflow, "COMPLETED", started_at=_clock.now() - 10)
        emulator.alga_psa.add_execution(rule, "completed", started_at=_clock.now() - 10)
    assert good(tasks.executions("tracecat", "alga_psa").run())["subjects"]["execution"] == 6
    in_run("manual__2")
    assert good(tasks.executions("tracecat", "alga_psa").run())["subjects"].get("execution", 0) == 0


@pytest.mark.parametrize(("workflows", "judged"), [(["*"], 2), (["Tri*"], 1), (["Triage", "Enrich"], 2)])
def test_the_workflows_of_tracecat_are_audited(
    tasks: Tasks, emulator: Emulator, deferrable: bool, workflows: list[str], judged: int
) -> None:
    for name in ("Triage", "Enrich"):
        emulator.tracecat.add_workflow(tracecat.Workflow(name, webhook="online"))
    ended = tasks.run(AuditTracecatConfigurationOperator, workflows=workflows, deferrable=deferrable).run()
    findings = json.loads(Path(good(ended)["findings"].removeprefix("file://")).read_text())["findings"]
    assert len([one for one in findings if one["rule"] == "TRC007"]) == judged


def test_a_workflow_of_tracecat_that_is_not_there_fails_the_audit(tasks: Tasks, emulator: Emulator, deferrable: bool) -> None:
    emulator.tracecat.add_workflow(tracecat.Workflow("Triage"))
    ended = tasks.run(AuditTracecatConfigurationOperator, workflows=["Triage", "Gone"], deferrable=deferrable).run()
    assert type(ended.error) is AuditFailed
    assert "Gone" in ended.text


@pytest.mark.parametrize("workflows", [[], "Triage", None])
def test_workflows_are_a_list_of_names(tasks: Tasks, workflows: Any) -> None:
    assert type(tasks.run(AuditTracecatConfigurationOperator, workflows=workflows).run().error) is ConfigurationError
