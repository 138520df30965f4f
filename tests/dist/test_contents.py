"""What is in wheel and sdist, and what they say of themselves."""

from __future__ import annotations

import re
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from hatch_build import LABELS, addresses_of, readme_of, urls_of
from twine.commands.check import check

from airflow_provider import __version__
from airflow_provider.provider_info import SYSTEMS, get_provider_info
from tests.dist.conftest import ROOT

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    [path] = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_an_index_would_take_both(built: Path) -> None:
    assert check([str(path) for path in built.iterdir() if path.suffix in (".whl", ".gz")], strict=True) is False


def test_the_wheel_has_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "airflow_provider").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {name for name in names if ".dist-info/" not in name} == here
    assert {name.rpartition(".dist-info/")[2] for name in names} - here == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip


def test_the_sdist_has_what_its_tests_and_docs_need(built: Path) -> None:
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "hatch_build.py", "README.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "docs/conf.py"} <= names
    assert {"tests/conftest.py", "example_dags/buddy_release.py"} <= names
    assert not [name for name in names if re.search(r"(^|/)(__pycache__|_build|\.venv|\.airflow)(/|$)", name)]


def test_the_version_is_the_same_everywhere(metadata: Message) -> None:
    assert metadata["Version"] == __version__
    assert get_provider_info()["versions"][0] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_metadata_is_complete(metadata: Message) -> None:
    classifiers = metadata.get_all("Classifier", [])
    for part in ("Development Status", "Framework :: Apache Airflow :: Provider", "Programming Language :: Python :: 3.14", "Typing :: Typed"):
        assert any(part in classifier for classifier in classifiers), part
    assert metadata["Author"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    for name in SYSTEMS.values():
        assert name in metadata["Summary"]
    urls = dict(url.split(", ", 1) for url in metadata.get_all("Project-URL", []))
    assert urls == urls_of(addresses_of(ROOT))


def test_no_link_of_the_description_is_dead_on_an_index(metadata: Message) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert [target for target in targets if not re.match(r"https?://", target)] == []


# Addresses, once there are some

HOME = "https://code.example/acme/executions"


def test_addresses_appear_once_they_are_set() -> None:
    assert urls_of(dict.fromkeys(LABELS, "")) == {}
    assert urls_of({"repository": HOME, "security": "", "documentation": "https://docs.example"}) == {
        "Repository": HOME, "Documentation": "https://docs.example",
    }  # fmt: skip
    with pytest.raises(ValueError, match="unknown addresses: homepage"):
        urls_of({"homepage": HOME})


@pytest.mark.parametrize(
    ("text", "linked", "plain"),
    [
        ("see [docs](docs/a.md#b) now", f"see [docs]({HOME}/blob/v1.2/docs/a.md#b) now", "see docs now"),
        ("[`a`](example_dags)", f"[`a`]({HOME}/blob/v1.2/example_dags)", "`a`"),
        ("[A](https://a.example) and [B](LICENSE)", f"[A](https://a.example) and [B]({HOME}/blob/v1.2/LICENSE)", "[A](https://a.example) and B"),
        ("[A](#use-it)", "[A](#use-it)", "[A](#use-it)"),
        ("a ![tab: bars](docs/_static/tab.png) b", f"a ![tab: bars]({HOME}/raw/v1.2/docs/_static/tab.png) b", "a  b"),
        ("![A](https://a.example/b.png)", "![A](https://a.example/b.png)", "![A](https://a.example/b.png)"),
    ],
)
def test_relative_links_lead_to_the_repository_or_are_text(text: str, linked: str, plain: str) -> None:
    assert readme_of(text, HOME + "/", "1.2") == linked
    assert readme_of(text, "", "1.2") == plain
