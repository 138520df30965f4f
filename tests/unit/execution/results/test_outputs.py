"""Which outputs go into XCom, and why others don't."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.buddy.executions.adapter import BuddyAdapter
from airflow_provider.errors import ConfigurationError, OutputMissing
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Output, Snapshot, Step
from airflow_provider.execution.results.outputs import (
    MAX_OUTPUT_BYTES,
    MAX_OUTPUTS_BYTES,
    RESERVED_XCOM_KEYS,
    OutputPolicy,
    check_declared,
    safe_name,
    storage_folder,
    to_push,
)
from airflow_provider.execution.results.result_of import MAX_STEPS, make_result

ENDED = Snapshot("w/1", Phase.SUCCEEDED, "SUCCESSFUL", "https://remote.example/1")


def outputs(**values: Any) -> dict[str, Output]:
    return {name: value if isinstance(value, Output) else Output(value) for name, value in values.items()}


def of_size(size: int) -> str:
    """A text whose JSON has ``size`` bytes."""
    return "x" * (size - 2)


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStoragePath:
    return ObjectStoragePath(f"file://{tmp_path}/outputs")


# Size


def test_values_up_to_48_kib_go_into_xcom_and_no_byte_more() -> None:
    assert MAX_OUTPUT_BYTES == 48 * 1024
    policy = OutputPolicy((), None)
    assert list(policy.select(outputs(FITS=of_size(MAX_OUTPUT_BYTES), OVER=of_size(MAX_OUTPUT_BYTES + 1)))) == ["FITS"]
    assert policy.omitted == {
        "OVER": f"{MAX_OUTPUT_BYTES + 1} bytes, over the limit of {MAX_OUTPUT_BYTES} for XCom: set outputs_path to keep it"
    }


def test_bytes_count_not_characters() -> None:
    policy = OutputPolicy((), None)
    assert policy.select(outputs(TEXT="ż" * (MAX_OUTPUT_BYTES // 2))) == {}
    assert "TEXT" in policy.omitted


@pytest.mark.parametrize(
    "value",
    ["x" * MAX_OUTPUT_BYTES, "ż\n" * MAX_OUTPUT_BYTES, {"rows": list(range(20_000))}, ["y" * 100] * 1_000],
    ids=lambda value: type(value).__name__,
)
def test_a_large_value_goes_to_the_folder_whole_and_its_path_into_xcom(folder: ObjectStoragePath, value: Any) -> None:
    policy = OutputPolicy((), folder)
    selected = policy.select(outputs(BIG=value, SMALL="s"))
    assert selected["SMALL"] == "s"
    text = ObjectStoragePath(selected["BIG"]).read_text(encoding="utf-8")
    assert (text if isinstance(value, str) else json.loads(text)) == value
    assert policy.omitted == {}


def test_small_values_write_nothing(folder: ObjectStoragePath) -> None:
    OutputPolicy((), folder).select(outputs(SMALL="s"))
    assert not folder.exists()


def test_all_outputs_together_have_a_bound_across_steps() -> None:
    policy = OutputPolicy((), None)
    whole = MAX_OUTPUTS_BYTES // MAX_OUTPUT_BYTES
    many = {f"V{number}": Output(of_size(MAX_OUTPUT_BYTES)) for number in range(whole)}
    assert list(policy.select(many)) == list(many)
    left = MAX_OUTPUTS_BYTES - whole * MAX_OUTPUT_BYTES
    assert list(policy.select(outputs(FITS=of_size(left)), "Build")) == ["FITS"]
    assert policy.select(outputs(ONE=1), "Build") == {}
    assert policy.omitted == {"Build.ONE": f"all outputs together are over {MAX_OUTPUTS_BYTES} bytes"}


def test_large_values_in_the_folder_do_not_count_against_the_bound(folder: ObjectStoragePath) -> None:
    policy = OutputPolicy((), folder)
    many = {f"V{number}": Output("x" * MAX_OUTPUT_BYTES) for number in range(10)}
    assert len(policy.select(many)) == 10


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", {"x": object()}], ids=lambda value: type(value).__name__)
def test_what_is_not_json_is_left_out(value: Any) -> None:
    policy = OutputPolicy((), None)
    assert policy.select(outputs(ODD=value)) == {}
    assert policy.omitted == {"ODD": "not JSON, such as NaN or Infinity"}


def test_large_outputs_of_equal_names_keep_their_own_content(folder: ObjectStoragePath) -> None:
    """Loops and retries run one action several times; names may differ in signs that files can't have."""
    policy = OutputPolicy((), folder)
    selected = [
        policy.select(outputs(BIG="a" * MAX_OUTPUT_BYTES)),
        policy.select(outputs(BIG="b" * MAX_OUTPUT_BYTES), "Build"),
        policy.select(outputs(BIG="c" * MAX_OUTPUT_BYTES), "Build"),
        policy.select({"a/b": Output("d" * MAX_OUTPUT_BYTES)}),
        policy.select({"a_b": Output("e" * MAX_OUTPUT_BYTES)}),
        policy.select({"Build.BIG": Output("f" * MAX_OUTPUT_BYTES)}),
    ]
    paths = [path for chosen in selected for path in chosen.values()]
    assert [ObjectStoragePath(path).read_text()[0] for path in paths] == list("abcdef")


def test_a_folder_that_can_not_be_written_leaves_the_output_out(tmp_path: Path) -> None:
    """The execution has ended: an error here would lose the whole result, the small outputs too."""
    (tmp_path / "file").write_text("not a folder")
    policy = OutputPolicy((), ObjectStoragePath(f"file://{tmp_path}/file/outputs"))
    assert policy.select(outputs(BIG="x" * MAX_OUTPUT_BYTES, SMALL="s")) == {"SMALL": "s"}
    assert list(policy.omitted) == ["BIG"]


@pytest.mark.parametrize("error", [RuntimeError("403 denied\n by hunter2hunter2"), LookupError(), ValueError("x" * 5_000)])
def test_a_store_with_errors_of_its_own_leaves_the_output_out(error: Exception) -> None:
    class Refusing:
        parent = property(lambda self: self)

        def __truediv__(self, name: str) -> Refusing:
            return self

        def mkdir(self, **given: object) -> None:
            raise error

    policy = OutputPolicy((), Refusing(), hidden=["hunter2hunter2"])  # type: ignore[arg-type]
    assert policy.select(outputs(BIG="x" * MAX_OUTPUT_BYTES, SMALL="s")) == {"SMALL": "s"}
    reason = policy.omitted["BIG"].partition("could not be written to outputs_path: ")[2]
    assert 0 < len(reason) <= 300
    assert "hunter2" not in reason
    assert "\n" not in reason


# Secrets


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("IMAGE", Output("ciphertext", secret=True)),
        ("DEPLOY_TOKEN", Output("hunter2")),
        ("IMAGE", Output("ghp_" + "a" * 36)),
        ("IMAGE", Output("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----")),
    ],
)
def test_secrets_are_left_out_with_a_reason_unless_revealed(name: str, output: Output) -> None:
    policy = OutputPolicy((), None)
    assert policy.select({name: output}) == {}
    assert policy.omitted == {name: "secret: list it in reveal_outputs to push it in plain text"}
    assert policy.select({name: output}, "Build") == {}
    assert f"Build.{name}" in policy.omitted
    revealing = OutputPolicy([name], None)
    assert revealing.select({name: output}) == {name: output.value}
    assert revealing.omitted == {}


def test_a_large_secret_is_not_stored_either(folder: ObjectStoragePath) -> None:
    policy = OutputPolicy((), folder)
    assert policy.select(outputs(DEPLOY_TOKEN="x" * MAX_OUTPUT_BYTES)) == {}
    assert not folder.exists()


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20)), st.booleans())
def test_no_value_is_ever_stars(values: dict[str, str], secret: bool) -> None:
    policy = OutputPolicy((), None)
    selected = policy.select({name: Output(value, secret) for name, value in values.items() if value != "***"})
    assert "***" not in selected.values()
    assert set(selected) | set(policy.omitted) == {name for name, value in values.items() if value != "***"}


def test_an_output_shows_no_value() -> None:
    assert "hunter2" not in repr([Output("hunter2"), Output("hunter2", secret=True)])


@pytest.mark.parametrize("secret", [("CIPHER", Output("hunter2-hunter2", secret=True)), ("DEPLOY_TOKEN", Output("hunter2-hunter2"))])
def test_the_result_shows_secret_outputs_nowhere(secret: tuple[str, Output]) -> None:
    """Not in the log's tail or in errors either, whether they are secret by a flag or by their name."""
    ended = Snapshot(
        "w/1",
        Phase.FAILED,
        "FAILED",
        error="bad hunter2-hunter2",
        steps=[Step("1", "Build", Phase.FAILED, "FAILED", error="bad hunter2-hunter2", outputs=dict([secret]))],
        outputs=dict([secret]),
        log_tail=["using hunter2-hunter2"],
    )
    result = make_result(BuddyAdapter(), "c", ended, OutputPolicy((), None))
    assert "hunter2" not in json.dumps(result)
    assert "***" not in result["outputs"].values()
    assert result["outputs_omitted"].keys() == {secret[0], f"Build.{secret[0]}"}


def test_the_result_shows_a_secret_of_one_step_nowhere_even_if_a_later_step_put_out_another() -> None:
    first, last = Output("hunter2-hunter2", secret=True), Output("other-value", secret=True)
    ended = Snapshot(
        "w/1",
        Phase.SUCCEEDED,
        "SUCCESSFUL",
        steps=[
            Step("1", "Build", Phase.SUCCEEDED, "SUCCESSFUL", outputs={"KEY_FILE": first}),
            Step("2", "Build", Phase.SUCCEEDED, "SUCCESSFUL", outputs={"KEY_FILE": last}),
        ],
        outputs={"KEY_FILE": last},
        log_tail=["using hunter2-hunter2"],
    )
    assert "hunter2" not in json.dumps(make_result(BuddyAdapter(), "c", ended, OutputPolicy((), None)))


def test_the_result_is_bounded() -> None:
    steps = [Step(str(number), "Build", Phase.SUCCEEDED, "SUCCESSFUL") for number in range(MAX_STEPS + 50)]
    ended = Snapshot("w/1", Phase.SUCCEEDED, "SUCCESSFUL", steps=steps, log_tail=[f"line {number}" for number in range(90)])
    result = make_result(BuddyAdapter(), "c", ended, OutputPolicy((), None))
    assert len(result["steps"]) == MAX_STEPS == 200
    assert result["log_tail"] == [f"line {number}" for number in range(40, 90)]


# push_outputs


@pytest.mark.parametrize("declared", [["IMAGE"], ["*"], ["IMAGE", "*"], (), [], "IMAGE", ("a b", "ż")], ids=str)
def test_names_that_can_be_declared(declared: Any) -> None:
    assert check_declared(declared) == ([declared] if isinstance(declared, str) else list(declared))


@pytest.mark.parametrize("name", [*sorted(RESERVED_XCOM_KEYS), "_link_BuddyExecutionLink", "_link_x", "", 5, None])
def test_names_that_are_taken_can_not_be_declared(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="push_outputs"):
        check_declared(["IMAGE", name])


def test_reserved_are_the_keys_that_we_and_airflow_use() -> None:
    assert {"return_value", "url", "ref", "execution", "execution_progress"} <= RESERVED_XCOM_KEYS


def test_only_declared_outputs_are_pushed() -> None:
    assert to_push(["IMAGE"], {"IMAGE": "i", "URL": "u"}, ENDED, {}) == {"IMAGE": "i"}
    assert to_push([], {"IMAGE": "i"}, ENDED, {}) == {}


def test_a_star_pushes_all_but_never_over_another_key() -> None:
    there = {"IMAGE": "i", "_link_BuddyExecutionLink": "x", "_link_other": "x", **dict.fromkeys(RESERVED_XCOM_KEYS, "x")}
    assert to_push(["*"], there, ENDED, {}) == {"IMAGE": "i"}


@pytest.mark.parametrize(
    "name",
    ["", "../other/return_value", "return_value?x=1", "return_value#x", "a/b", ".", "..", "return%5Fvalue", "x" * 600],
    ids=lambda name: name[:30],
)
def test_a_star_pushes_no_name_that_leads_elsewhere(name: str) -> None:
    """
    Airflow's worker puts the key into a URL as it is: a name of the remote side must not write another key, or another task's.

    Its database takes keys of up to 512 characters.
    """
    assert to_push(["*"], {name: "x", "IMAGE": "i"}, ENDED, {}) == {"IMAGE": "i"}


def test_a_declared_output_that_is_missing_is_named_with_the_reason() -> None:
    with pytest.raises(OutputMissing) as raised:
        to_push(["IMAGE", "KEY", "NO_SUCH", "*"], {"IMAGE": "i", "URL": "u"}, ENDED, {"KEY": "secret: reveal it", "Build.NO_SUCH": "x"})
    text = str(raised.value)
    for part in (
        "w/1",
        "SUCCESSFUL",
        "KEY: secret: reveal it",
        "NO_SUCH: not produced",
        "Available outputs: IMAGE, URL.",
        "https://remote.example/1",
    ):
        assert part in text
    assert (raised.value.ref, raised.value.url) == ("w/1", "https://remote.example/1")


def test_a_star_requires_nothing() -> None:
    assert to_push(["*"], {}, ENDED, {}) == {}


# Files


@given(st.text())
def test_file_names_stay_in_their_folder(text: str) -> None:
    name = safe_name(text)
    assert name
    assert len(name.encode()) <= 150
    assert not set("/\\:\x00\n ") & set(name)
    assert not name.startswith(".")


@pytest.mark.parametrize(("map_index", "ending"), [(-1, ""), (None, ""), (0, "/0"), (7, "/7")])
def test_each_task_of_each_run_has_a_folder_of_its_own(map_index: int | None, ending: str) -> None:
    ti = SimpleNamespace(dag_id="d", run_id="manual__2026-01-01T00:00:00+00:00", task_id="group.t", map_index=map_index)
    folder = storage_folder("file:///base", {"ti": ti})  # type: ignore[typeddict-item]
    run = safe_name(ti.run_id)
    assert run.startswith("manual__2026-01-01T00_00_00+00_00~")
    assert str(folder) == f"file:///base/d/{run}/group.t{ending}"


@pytest.mark.parametrize(
    "names",
    [
        ("a:b", "a_b", "a b", "a/b", "a~b"),
        ("x" * 200, "x" * 200 + "y", "x" * 130, "x" * 131),
        (f"{'r' * 150}1", f"{'r' * 150}2"),
        ("Nightly", "nightly", "NIGHTLY"),
        ("a", "a.", ".a", "..a", "."),
        ("caf\u00e9", "cafe\u0301", "cafe_"),
        ("\u212a", "k", "K"),
        ("straße", "strasse", "STRASSE"),
        ("manual__2026-01-01T00:00:00+00:00", "manual__2026-01-01T00_00_00+00_00", "manual__2026-01-01T00:00:00-00:00"),
        ("", "_", "__", "\ud83d", "\ud83e"),
        (safe_name("a:b"), "a:b"),
    ],
)
def test_different_names_never_share_a_file(names: tuple[str, ...]) -> None:
    """Also on a file system that takes upper and lower case, or two forms of a letter, for the same."""
    assert len({unicodedata.normalize("NFKD", safe_name(name)).casefold() for name in names}) == len(names)


@given(st.text(), st.text())
def test_two_texts_never_share_a_file(one: str, other: str) -> None:
    assert one == other or safe_name(one).casefold() != safe_name(other).casefold()


@pytest.mark.parametrize("field", ["dag_id", "run_id", "task_id"])
@pytest.mark.parametrize("names", [("a:b", "a_b"), (f"{'r' * 150}1", f"{'r' * 150}2"), ("Run", "run")])
def test_two_task_instances_never_share_a_folder(field: str, names: tuple[str, str]) -> None:
    ids = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
    folders = {str(storage_folder("file:///base", {"ti": SimpleNamespace(**{**ids, field: name})})).casefold() for name in names}  # type: ignore[typeddict-item]
    assert len(folders) == 2
