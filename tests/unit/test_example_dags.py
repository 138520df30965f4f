"""Every example DAG loads, and is made of nothing but what a user can import."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from airflow.sdk import DAG

EXAMPLES = sorted((Path(__file__).parents[2] / "example_dags").glob("*.py"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_loads(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dags = [value for value in vars(module).values() if isinstance(value, DAG)]
    assert len(dags) <= 1
    text = path.read_text()
    assert f'"{path.stem}"' in text, "the DAG's id is the file's name"
    assert text.count("# [START ") == text.count("# [END ") > 0
