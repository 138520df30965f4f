"""The tab "Execution" and the page "Executions" in a real Airflow, as a person sees them in a browser."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stage import GUEST, HOSTILE, OWNED, SCRIPT, Stage

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1_800)]

ENDED = re.compile("Your session has ended|Sign into Airflow")
"""Either we say so, or Airflow has gone to its login page first."""
SECONDS = 60_000
"""Milliseconds that anything may take to show."""
TABS = ["deferred", "in_worker", "failed", "waiting", "done", "hostile", "tracecat", "foreign", "never_begun", "not_begun"]


def root(page: Page, name: str = "tab") -> Locator:
    """What is ours of a page of Airflow."""
    return page.locator(f"[data-executions={name}]")


def shows(page: Page, *texts: str, name: str = "tab") -> None:
    for text in texts:
        expect(root(page, name)).to_contain_text(text, timeout=SECONDS)


def log_out(page: Page) -> None:
    page.context.clear_cookies()
    page.evaluate("localStorage.removeItem('token')")  # where the first releases of 3.1 keep the session


@pytest.mark.parametrize(
    ("task", "texts"),
    {
        "deferred": ["Buddy execution", "running", "as of", "Open in Buddy", "Build image", "Deploy to staging", "Running for"],
        "in_worker": ["Buddy execution", "running", "as of", "Deploy to staging"],
        "failed": ["What went wrong", "Failed step: Run tests", "FAILED test_cart.py::test_total", "failed", "Ended"],
        "waiting": ["waits for a person", "Deploy shop:1.2.3 to production?", "Required actions of this task", "(gate"],
        "done": ["succeeded", "Outputs", "IMAGE", "shop:1.2.3", "Duration"],
        "tracecat": ["Tracecat execution", "succeeded", "look_up"],
        "foreign": ["This task has no execution in another system."],
        "never_begun": ["The task ended without an execution."],
        "not_begun": ["No execution yet."],
    }.items(),
)
def test_the_tab_of_a_task(stage: Stage, task: str, texts: list[str]) -> None:
    with stage.page(stage.path(task)) as page:
        shows(page, *texts)


@pytest.mark.parametrize("map_index", [0, 1])
def test_the_tab_of_a_mapped_task(stage: Stage, map_index: int) -> None:
    with stage.page(stage.path("mapped", map_index)) as page:
        shows(page, "succeeded", "shop:1.2.3")
        ref = root(page).locator("dd").first.inner_text()
    with stage.page(stage.path("mapped", 1 - map_index)) as page:
        shows(page, "succeeded")
        assert root(page).locator("dd").first.inner_text() != ref


def test_texts_of_the_other_system_are_text(stage: Stage) -> None:
    with stage.page(stage.path("hostile")) as page:
        shows(page, HOSTILE, SCRIPT, "\\u202egnp.exe", "javascript:alert(1)", "left out", "characters more")
        page.get_by_text(re.compile("End of the log")).click()
        shows(page, "<b>bold</b>")
        assert page.title() != OWNED
        assert root(page).locator("img, script, iframe").count() == 0
        assert [link for link in hrefs(page) if not link.startswith(("http://127.0.0.1", "https://"))] == []
        root(page).get_by_role("button", name="Show more").first.click()
        expect(root(page)).to_contain_text("x" * 10_000)


def hrefs(page: Page, name: str = "tab") -> list[str]:
    return [str(link.evaluate("link => link.href")) for link in root(page, name).locator("a").all()]


def test_a_tab_is_read_with_the_viewers_session_and_nobody_else_is_asked(stage: Stage) -> None:
    with stage.page("") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{stage.airflow.url}/{stage.path('done')}")
        shows(page, "succeeded")
        assert [url for url in asked if not url.startswith((stage.airflow.url, f"blob:{stage.airflow.url}", "data:"))] == []
        assert [url for url in asked if "/xcomEntries/" in url and "execution_view" in url] == [], "the result is enough"


def test_who_may_not_read_a_dag_sees_nothing_of_it(stage: Stage) -> None:
    with stage.page(stage.path("kept_apart", dag="private"), user=GUEST) as page:
        page.wait_for_load_state("networkidle")
        assert "shop:1.2.3" not in page.content()
        assert "Open in Buddy" not in page.content()
    with stage.page("plugin/executions", user=GUEST) as page:
        shows(page, "pages / done", name="page")
        assert "private" not in root(page, "page").inner_text()
    with stage.page("plugin/executions") as page:
        shows(page, "private / kept_apart", name="page")


def test_a_session_that_has_ended_asks_to_log_in(stage: Stage) -> None:
    with stage.page(stage.path("deferred")) as page:
        shows(page, "running")
        log_out(page)
        expect(page.get_by_text(ENDED).first).to_be_visible(timeout=SECONDS)
    with stage.page("plugin/executions") as page:
        shows(page, "pages / done", name="page")
        log_out(page)
        root(page, "page").get_by_role("button", name="Refresh").click()
        expect(page.get_by_text(ENDED).first).to_be_visible(timeout=SECONDS)


def test_an_old_token_does_not_get_in_the_way_of_the_session(stage: Stage) -> None:
    """Airflow 3.1.0 has left it there; the pages of later versions neither use nor delete it."""
    if stage.keeps_tokens:
        pytest.skip("this version has no cookie of the session")
    with stage.page("") as page:
        page.evaluate("localStorage.setItem('token', 'of.an.earlier.version')")
        page.goto(f"{stage.airflow.url}/{stage.path('done')}")
        shows(page, "succeeded", "shop:1.2.3")


def with_state(page: Page, task: str, state: str | None, times: int | None = None) -> None:
    """Let Airflow say for a while that a task is in another state."""
    left = [times]

    def answer(route: Route) -> None:
        found = route.fetch().json()
        if left[0] is None or left[0] > 0:
            found["state"] = state
            left[0] = None if left[0] is None else left[0] - 1
        route.fulfill(json=found)

    page.route(re.compile(rf"/api/v2/.*/taskInstances/{task}$"), answer)


@pytest.mark.parametrize("state", ["scheduled", "queued", "restarting", None])
def test_a_tab_goes_on_over_the_states_in_between(stage: Stage, state: str | None) -> None:
    with stage.page("") as page:
        with_state(page, "deferred", state, times=1)
        page.goto(f"{stage.airflow.url}/{stage.path('deferred')}")
        shows(page, f"task {state or 'not started yet'}")
        shows(page, "task deferred")


def test_a_tab_sees_that_a_task_that_had_ended_goes_on(stage: Stage) -> None:
    with stage.page("") as page:
        with_state(page, "deferred", "failed", times=1)
        page.goto(f"{stage.airflow.url}/{stage.path('deferred')}")
        shows(page, "task failed")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # somebody comes back to the tab
        shows(page, "task deferred")


def test_after_a_failed_try_its_error_is_shown(stage: Stage) -> None:
    with stage.page("") as page:
        with_state(page, "failed", "up_for_retry")
        page.goto(f"{stage.airflow.url}/{stage.path('failed')}")
        shows(page, "of try 1, which failed; Airflow starts another", "What went wrong", "Failed step: Run tests")


def test_what_is_not_known_to_have_ended_does_not_grow_after_its_task(stage: Stage) -> None:
    """A task whose worker died leaves only the view."""
    with stage.page("") as page:
        with_state(page, "deferred", "failed")
        page.goto(f"{stage.airflow.url}/{stage.path('deferred')}")
        shows(page, "task failed", "Ran for at least", "What went wrong", "its log")
        before = root(page).inner_text()
        page.wait_for_timeout(2_500)
        assert root(page).inner_text() == before


def test_a_row_that_can_not_be_read_keeps_no_other_from_showing(stage: Stage) -> None:
    with stage.page("") as page:
        page.route(re.compile("/taskInstances/done/xcomEntries/"), lambda route: route.fulfill(status=500, body="broken"))
        page.goto(f"{stage.airflow.url}/plugin/executions")
        shows(page, "can't be read", "waits for a person", name="page")
        expect(root(page, "page").locator("tbody td:first-child", has_text="…")).to_have_count(0, timeout=SECONDS)
        assert root(page, "page").get_by_role("alert").count() == 0


def test_the_page_lists_what_waits_first(stage: Stage) -> None:
    with stage.page("plugin/executions") as page:
        table = root(page, "page").locator("tbody tr")
        shows(page, "active and", "waits for a person", "succeeded", "failed", name="page")
        expect(table.first).to_contain_text("pages / waiting", timeout=SECONDS)
        tasks = [row.locator("td").nth(4).inner_text().split("\n")[0] for row in table.all()]
        assert set(tasks[1:3]) == {"pages / deferred", "pages / in_worker"}
        assert len([task for task in tasks if task.startswith("pages / mapped")]) == 2
        assert not [task for task in tasks if "foreign" in task]
        expect(root(page, "page")).not_to_contain_text("never_begun", timeout=SECONDS)


def test_the_page_filters(stage: Stage) -> None:
    with stage.page("plugin/executions") as page:
        rows = root(page, "page").locator("tbody tr")
        shows(page, "waits for a person", "private / kept_apart", name="page")
        root(page, "page").get_by_label("Phase").select_option("FAILED")
        expect(rows).to_have_count(1, timeout=SECONDS)
        expect(rows.first).to_contain_text("pages / failed")
        root(page, "page").get_by_label("Phase").select_option("")
        root(page, "page").get_by_label("System").select_option("tracecat")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("pages / tracecat")
        root(page, "page").get_by_label("System").select_option("")
        root(page, "page").get_by_label("DAG").fill("private")
        expect(rows).to_have_count(1)
        shows(page, "1 of 1 ended", name="page")
        root(page, "page").get_by_label("DAG").fill("no such")
        shows(page, "matches these filters", name="page")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", ["deferred", "failed", "waiting", "done", "executions"])
def test_axe_finds_nothing(stage: Stage, axe: str, place: str, theme: str) -> None:
    name = "page" if place == "executions" else "tab"
    with stage.page("plugin/executions" if name == "page" else stage.path(place), theme=theme) as page:
        shows(page, "pages / done" if name == "page" else "Buddy execution", name=name)
        assert page.locator("html").get_attribute("class") == theme
        page.evaluate(axe)
        found = page.evaluate("name => axe.run(`[data-executions=${name}]`)", name)
        assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]] == []
        assert len(found["passes"]) > 5


@pytest.mark.parametrize("task", TABS)
def test_a_narrow_window_is_enough(stage: Stage, task: str) -> None:
    with stage.page(stage.path(task), width=600) as page:
        expect(root(page)).not_to_contain_text("Loading", timeout=SECONDS)
        assert root(page).evaluate("tab => tab.scrollWidth - tab.clientWidth") <= 0


def test_everything_is_reached_by_keyboard(stage: Stage) -> None:
    with stage.page(stage.path("failed")) as page:
        shows(page, "What went wrong")
        root(page).get_by_role("link", name="Open in Buddy").focus()
        for _ in range(12):
            if "End of the log" in str(page.evaluate("document.activeElement.textContent")):
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(root(page).locator("details")).to_have_attribute("open", "")


def test_a_tab_follows_the_execution_while_it_is_open(stage: Stage) -> None:
    """The last test, since it ends the executions."""
    with ExitStack() as stack:
        pages = [stack.enter_context(stage.page(stage.path(task))) for task in ("deferred", "in_worker")]
        for page in pages:
            shows(page, "running")
        stage.let_end()
        for page in pages:
            shows(page, "succeeded", "Deploy to staging", "Outputs")
