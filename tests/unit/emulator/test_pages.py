"""The page behind each execution's link, executions that a person starts, an emulator at the root, quiet logs, and a fast clock."""

from __future__ import annotations

import logging
import threading

import httpx
import pytest

from airflow_provider import _clock
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.alga_psa import Rule
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.emulator.cli import main
from airflow_provider.emulator.tracecat import Action as Task
from airflow_provider.emulator.tracecat import Interaction, Workflow


def _page(url):
    answer = httpx.get(url, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return answer.text


def test_the_link_of_a_run_shows_its_steps_and_their_logs(api, emulator, clock):
    log = ["line <script>alert(1)</script>", "half \ud83d"]
    build = Action("Build <b>", log=log, outputs={"IMAGE": "shop:1", "KEY": "s3cret"}, encrypted_outputs=["KEY"])
    pipeline = emulator.buddy.add_pipeline(Pipeline("release", project="my shop", actions=[build, Action("Deploy", seconds=9.0)]))
    run = emulator.buddy.start_by_hand("release", "Ann", comment="Version 1")
    clock.advance(2)
    url = f"{emulator.buddy.url}/workspaces/demo/projects/my%20shop/pipelines/{pipeline.id}/executions/{run.id}"
    shown = api.http.get(url).json()
    page = _page(shown["html_url"])
    for text in (
        "demo/my shop/1/1",
        "Build &lt;b&gt;",
        "&lt;script&gt;",
        "half ?",
        "SUCCESSFUL",
        "INPROGRESS",
        "Version 1",
        "Ann",
        "shop:1",
    ):
        assert text in page, text
    assert "<script" not in page
    assert "s3cret" not in page
    assert _page(shown["action_executions"][0]["html_url"]) == page


@pytest.mark.parametrize(("part", "wrong"), [("/shop/", "/x/"), ("pipeline/1/", "pipeline/9/"), ("/execution/", "/execution/0")])
def test_a_link_to_no_run_is_404(api, emulator, release, part, wrong):
    emulator.buddy.add_execution(release)
    url = api.execution(release)["html_url"]
    assert httpx.get(url.replace(part, wrong), timeout=60).status_code == 404


def test_a_long_log_is_shown_from_its_end(api, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=0.0, log=["line $LINE."], lines=5_000)]))
    api.run(pipeline)
    page = _page(api.execution(pipeline)["html_url"])
    assert ("line 4999." in page, "line 4000." in page, "line 3999." in page) == (True, True, False)


def test_the_link_of_a_workflow_shows_its_actions(emulator, clock):
    actions = [
        Task("look", result={"seen": "<i>"}),
        Task("hide", result={"key": "s3cret"}, mask_output=True),
        Task("ask", "tools.slack.post_message", interaction=Interaction()),
    ]
    emulator.tracecat.add_workflow(Workflow("Contain <b>", "contain", actions=actions))
    run = emulator.tracecat.start_by_hand("contain", {"host": "web-1"})
    workflow, _, suffix = run.id.partition("/")
    url = f"{emulator.tracecat.web_url}/workspaces/{run.workspace}/workflows/{workflow}/executions/"
    clock.advance(4)
    page = _page(url + suffix)
    for text in ("Contain &lt;b&gt;", run.id, "RUNNING", "web-1", "&lt;i&gt;", "for an answer", "COMPLETED"):
        assert text in page, text
    assert "s3cret" not in page
    for wrong in (url + "exec_0", url, url.replace(run.workspace, "0") + suffix):
        assert httpx.get(wrong, timeout=60).status_code == 404


def test_a_page_is_neither_recorded_nor_hit_by_a_fault(api, emulator, release):
    url = api.run(release)["html_url"]
    emulator.ledger.clear()
    emulator.faults.add(Fault("status", status=503))
    _page(url)
    assert emulator.ledger.entries == []
    assert api.call("GET", "").status_code == 503


# -- executions that a person starts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["release", "1", 1, "demo/shop/release", "demo/shop/1", "Release it"])
def test_a_run_is_started_from_another_process(emulator, ref):
    emulator.buddy.add_pipeline(Pipeline("Release it", "release"))
    emulator.buddy.add_pipeline(Pipeline("Release it", "release", project="other"))
    body = {"act": "start", "ref": ref, "by": "Ann", "branch": "refs/heads/dev", "comment": "now", "variables": {"A": "1"}}
    answer = httpx.post(f"{emulator.url}/_emulator/acts", json=body, timeout=60)
    assert (answer.status_code, answer.json()) == (200, {"act": "start", "ref": str(ref), "execution": "demo/shop/1/1"})
    (run,) = emulator.buddy.executions
    assert (run.creator.name, run.comment, run.variables, run.triggered_on) == ("Ann", "now", {"A": "1"}, "CLICK")


def test_workflows_and_rules_are_started_from_another_process(emulator):
    emulator.tracecat.add_workflow(Workflow("Contain", "contain"))
    emulator.alga_psa.add_rule(Rule("triage", status="inactive"))
    starts = [
        {"system": "tracecat", "ref": "contain", "inputs": {"host": "x"}, "trigger_type": "webhook"},
        {"system": "tracecat", "ref": "Contain"},
        {"system": "alga_psa", "ref": "triage", "trigger_data": {"ticket": 7}},
    ]
    url = f"{emulator.url}/_emulator/acts"
    made = [httpx.post(url, json={"act": "start", **start}, timeout=60).json()["execution"] for start in starts]
    first, second = emulator.tracecat.executions
    (third,) = emulator.alga_psa.executions
    assert {first.id, second.id, third.ref} == set(made)
    assert sorted((one.trigger_type, str(one.inputs)) for one in (first, second)) == [("manual", "None"), ("webhook", "{'host': 'x'}")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ref": "none"}, 404),
        ({"ref": "other/shop/release"}, 404),
        ({"ref": "release", "colour": "red"}, 400),
        ({"system": "tracecat", "ref": "none"}, 404),
        ({"system": "tracecat", "ref": "W", "trigger_type": "magic"}, 400),
        ({"system": "alga_psa", "ref": "none"}, 404),
    ],
)
def test_what_cannot_be_started_is_told(emulator, release, body, status):
    emulator.tracecat.add_workflow(Workflow("W"))
    answer = httpx.post(f"{emulator.url}/_emulator/acts", json={"act": "start", **body}, timeout=60)
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


# -- at the root -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [
        ("buddy", "/user", 401),
        ("tracecat", "/health", 200),
        ("tracecat", "/api/health", 200),
        ("alga_psa", "/api/v1/automation/rules", 401),
    ],
)
def test_one_system_can_be_served_at_the_root(clock, root, path, status):
    with Emulator(clock, root=root) as emulator:
        system = emulator.systems[root]
        assert system.url == emulator.url
        assert f'"host": "{emulator.url}"' in system.connection_json()
        assert httpx.get(emulator.url + path, timeout=60).status_code == status
        others = {"buddy": "/buddy/api/user", "tracecat": "/tracecat/api/health", "alga_psa": "/alga_psa/api/v1/automation/rules"}
        del others[root]
        for name, there in others.items():
            assert httpx.get(emulator.url + there, timeout=60).status_code in (200, 401), name
        assert httpx.get(emulator.url + "/_emulator/executions", timeout=60).json() == []
        assert {entry.system for entry in emulator.ledger.entries} == {"buddy", "tracecat", "alga_psa"}


def test_only_a_known_system_can_be_at_the_root(capsys):
    with pytest.raises(ValueError, match="unknown system 'jenkins': one of buddy"):
        Emulator(root="jenkins")
    with pytest.raises(SystemExit):
        main(["--root", "jenkins"])
    assert "invalid choice" in capsys.readouterr().err


# -- quiet logs, fast clock --------------------------------------------------------------------------------------------


def test_the_server_logs_nothing_but_problems(caplog, clock, monkeypatch):
    caplog.set_level(logging.DEBUG)
    with Emulator(clock) as emulator:
        # As when Airflow sets up logging.
        monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
        monkeypatch.setattr(logging.getLogger("uvicorn.access"), "disabled", False)
        assert httpx.get(emulator.buddy.url + "/user", timeout=60).status_code == 401
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("uvicorn", "fastapi", "starlette"))] == []


def test_a_fast_clock_shortens_sleeps_and_lengthens_time(clock):
    fast, began = _clock.FastClock(clock.local, 20.0), clock.now()
    fast.sleep(60.0)
    assert (clock.pauses[-1], clock.now() - began) == (3.0, 3.0)
    assert fast.now() - began == pytest.approx(60.0)
    before = fast.monotonic()

    async def sleep():
        await fast.asleep(10.0)

    clock.run(sleep())
    assert fast.monotonic() - before == pytest.approx(10.0)


def test_everything_follows_a_fast_emulator(clock):
    base = _clock.current()
    with Emulator(speed=20) as emulator:
        pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=60.0)]))
        run = emulator.buddy.add_execution(pipeline)
        assert run.status == "INPROGRESS"
        _clock.sleep(61.0)
        assert run.status == "SUCCESSFUL"
        assert clock.pauses[-1] == pytest.approx(3.05)
    assert _clock.current() is base
    assert run.status == "SUCCESSFUL"


def test_a_thread_is_waited_for_in_real_time(clock):
    assert _clock.FastClock(clock.local, 1e9).run_thread(threading.Thread(target=lambda: None), 60.0)


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_must_make_sense(clock, speed):
    with pytest.raises(ValueError, match="speed"):
        Emulator(speed=speed)
    with pytest.raises(ValueError, match="speed"):
        Emulator(clock, speed=2)


def test_the_fast_fixture(fast_execution_emulator):
    assert _clock.current() is fast_execution_emulator.clock
