"""The HTML page in a real browser: it filters, it complains of nothing, it asks nobody, hostile texts do nothing."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from airflow_provider.audit.engine.result import Point
from airflow_provider.audit.facts.origin import Location
from airflow_provider.audit.reports import text_of
from tests.unit.audit.reports.results import NOW, SETTINGS, everything, hostile

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [pytest.mark.long, pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")]
PROBE = """<script>
function shown() {
  const rows = [...document.querySelectorAll("tr.finding")].filter((row) => row.getClientRects().length);
  return rows.map((row) => row.dataset.rule + ":" + row.dataset.state).join(" ");
}
addEventListener("securitypolicyviolation", (event) => top.document.documentElement.setAttribute("data-refused", event.violatedDirective));
addEventListener("error", (event) => top.document.documentElement.setAttribute("data-error", event.message));
addEventListener("load", () => setTimeout(() => {
  %s
  top.document.documentElement.setAttribute("data-rows", shown());
  top.document.documentElement.setAttribute("data-count", document.querySelector("output") ? document.querySelector("output").value : "");
}, 50));
</script>"""


class Server(http.server.ThreadingHTTPServer):
    """Serves one page and remembers what was asked for."""

    page = ""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.page.encode() if self.path == "/report.html" else b""
        if self.path.startswith("/frame-"):
            width = int(self.path.removeprefix("/frame-"))
            body = f'<html><head></head><body><iframe src="/report.html" width="{width}" height="1200" frameborder="0">'.encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Browser:
    """Headless Chromium."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server

    def run(self, *arguments: str, fragment: str = "", width: int | None = None) -> tuple[str, str]:
        """
        What it prints, and its console.

        :param width: in a frame of this width: a window of its own is at least 500 wide.
        """
        assert BROWSER is not None
        page = f"frame-{width}" if width else f"report.html{fragment}"
        url = f"http://127.0.0.1:{self.server.server_address[1]}/{page}"
        command = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--enable-logging=stderr", f"--user-data-dir={self.folder}/profile", "--virtual-time-budget=5000", *arguments, url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
        return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)

    def show(self, page: str, act: str = "", fragment: str = "", options: Sequence[str] = (), width: int | None = None) -> dict[str, str]:
        """
        Load a page and read what a probe noted.

        :param act: JavaScript that does what a person would do.
        """
        script = PROBE % act
        # The page's policy forbids the probe as well, so it runs before the policy is read.
        self.server.page = page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">{script}', 1)
        dom, console = self.run("--dump-dom", *options, fragment=fragment, width=width)
        found = dict(re.findall(r'data-(rows|count|told|refused|error)="([^"]*)"', dom.partition("<head>")[0]))
        return {name: unescape(value) for name, value in found.items()} | {"console": console, "dom": dom}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Browser(tmp_path, server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def quiet(seen: dict[str, str], browser: Browser) -> None:
    """Nothing was complained of or refused, and nothing but the page was asked for."""
    assert seen["console"] == ""
    assert "refused" not in seen
    assert "error" not in seen
    assert [path for path in browser.server.asked if path != "/favicon.ico" and "frame" not in path] == ["/report.html"]


COUNTS = """
  const words = (one) => one.innerText.trim().split(/\\s+/).slice(0, 2).sort().join("=");
  const chips = [...document.querySelectorAll(".chip")].map(words), tiles = [...document.querySelectorAll(".tile:not(.none)")].map(words);
  top.document.documentElement.setAttribute("data-told", chips.join(" ") + "|" + tiles.join(" "));
"""


def test_open_findings_are_there_at_first_and_tiles_and_chips_count_alike(browser: Browser) -> None:
    result = everything()
    seen = browser.show(text_of("html", result, SETTINGS), COUNTS)
    current = [finding for finding in result.findings if finding.waiver is None]
    assert len(seen["rows"].split()) == len(current)
    assert seen["count"] == f"{len(current)} of {len(result.findings) + len(result.fixed)}"
    chips, tiles = seen["told"].split("|")
    assert chips == tiles
    assert "1=critical" in chips
    quiet(seen, browser)


LAYOUT = """
  const all = [...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, svg"));
  const wide = all.filter((one) => one.getBoundingClientRect().right > innerWidth + 1);
  const tiles = [...document.querySelectorAll(".tile")].filter((tile) => tile.querySelector("small"));
  const box = (tile, part) => tile.querySelector(part).getBoundingClientRect();
  const over = tiles.filter((tile) => box(tile, "strong").bottom > box(tile, "small").top);
  const color = getComputedStyle(document.body).backgroundColor;
  const names = wide.map((one) => one.tagName + "." + one.className).join(" "), fits = document.documentElement.scrollWidth <= innerWidth;
  const told = [innerWidth, tiles.length > 0, names, over.length, fits, color];
  top.document.documentElement.setAttribute("data-told", told.join("|"));
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 800, 1280])
def test_nothing_overlaps_or_leaves_the_page(browser: Browser, width: int, theme: str) -> None:
    result = everything()
    long = replace(result.findings[0], line="curl " + "x" * 190, location=Location("a/" * 40 + "buddy.yml", 7, 3))
    points = [Point(NOW, str(number), {"critical": number, "low": 30}, 1) for number in range(30)]
    many = [replace(long, fingerprint=f"{number:032x}", state="new") for number in range(20)]
    options = ["--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
    page = text_of("html", replace(result, findings=[*many, *result.findings], trend=points), SETTINGS)
    seen = browser.show(page, LAYOUT, options=options, width=width)
    color = "rgb(18, 22, 28)" if theme == "dark" else "rgb(246, 247, 249)"
    assert seen["told"] == f"{width}|true||0|true|{color}"
    quiet(seen, browser)


FILTERS = {
    "form.elements.state.value = 'fixed'": "BDY001:fixed",
    "form.elements.state.value = 'accepted'": "BDY001:accepted",
    "form.elements.system.value = 'buddy'; form.elements.rule.value = 'BDY008'": "BDY008:new",
    "form.elements.text.value = 'PASSWORD contains'": "BDY008:new",
    "for (const box of form.querySelectorAll('[name=severity]')) box.checked = box.value === 'critical'": "BDY008:new",
    "form.elements.text.value = 'no such thing'": "",
    "form.elements.state.value = 'known'": "BDY001:known",
}
"""What a person does to the filter, to the findings that are left."""


def test_the_filter_leaves_what_was_asked_for(browser: Browser) -> None:
    page, told = text_of("html", everything(), SETTINGS), "const told = []; const form = document.getElementById('filter');"
    for act in FILTERS:
        told += f"form.reset(); {act}; form.dispatchEvent(new Event('input')); told.push(shown() + '=' + form.elements.count.value);"
    seen = browser.show(page, told + "top.document.documentElement.setAttribute('data-told', told.join('|'));")
    total = len(everything().findings) + 1
    assert seen["told"].split("|") == [f"{rows}={len(rows.split())} of {total}" for rows in FILTERS.values()]
    quiet(seen, browser)


def test_the_address_keeps_the_filter(browser: Browser) -> None:
    seen = browser.show(text_of("html", everything(), SETTINGS), fragment="#severity=critical")
    assert seen["rows"] == "BDY008:new"
    quiet(seen, browser)


@pytest.mark.parametrize(
    ("fragment", "rows"),
    [
        ("#state=accepted", "BDY001:accepted"),
        ("#state=all&rule=BDY008", "BDY008:new"),
        ("#severity=critical&state=new", "BDY008:new"),
    ],
)
def test_an_address_chooses_what_is_shown(browser: Browser, fragment: str, rows: str) -> None:
    seen = browser.show(text_of("html", everything(), SETTINGS), fragment=fragment)
    assert seen["rows"] == rows
    quiet(seen, browser)


def test_a_link_to_a_finding_shows_it_even_if_it_is_accepted_and_stays(browser: Browser) -> None:
    accepted = next(finding for finding in everything().findings if finding.waiver)
    fragment = f"#f-{accepted.fingerprint[:12]}"
    told = "top.document.documentElement.setAttribute('data-told', location.hash);"
    seen = browser.show(text_of("html", everything(), SETTINGS), told, fragment=fragment)
    assert seen["rows"] == "BDY001:accepted"
    assert seen["told"] == fragment
    quiet(seen, browser)


def test_hostile_texts_do_nothing_in_the_browser(browser: Browser) -> None:
    seen = browser.show(text_of("html", hostile(), SETTINGS))
    assert len(seen["rows"].split()) == 2, "the open ones"
    assert "<title>Audit report," in seen["dom"]
    assert "<title>owned" not in seen["dom"]
    quiet(seen, browser)


def test_the_policy_refuses_what_the_page_does_not_bring_itself(browser: Browser) -> None:
    page = text_of("html", everything(), SETTINGS).replace("</main>", '<img src="/x.png"><script>document.title = "owned"</script></main>')
    seen = browser.show(page)
    assert "<title>owned" not in seen["dom"]
    assert "/x.png" not in browser.server.asked
    assert "refused" in seen


def test_the_page_prints(browser: Browser) -> None:
    browser.server.page = text_of("html", everything(), SETTINGS)
    file = browser.folder / "report.pdf"
    browser.run(f"--print-to-pdf={file}")
    content = file.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page[^s]", content)) <= 3, "a summary, then the findings"
