"""Which outputs go into XCom, and which are left out, for what reason."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider.errors import ConfigurationError, OutputMissing
from airflow_provider.execution.model.snapshot import Output, Snapshot, see
from airflow_provider.execution.results.redaction import clean, looks_secret, secret_texts

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

MAX_OUTPUT_BYTES = 48 * 1024
"""Bytes of JSON that one output may have in XCom."""
MAX_OUTPUTS_BYTES = 256 * 1024
"""Bytes of JSON that all outputs of a result may have together, each step's own included."""
RESERVED_XCOM_KEYS = frozenset({"return_value", "url", "ref", "execution", "skipmixin_key", "execution_progress", "ended_by"})
"""XCom keys that are ours or Airflow's."""
_KEY = re.compile(r"(?!\.+$)[\w .=+@:-]{1,250}")


def _may_be_key(name: object) -> bool:
    """Whether an output's name may be an XCom key: free, and unable to lead to another key, since Airflow puts it into a URL."""
    return isinstance(name, str) and bool(_KEY.fullmatch(name)) and name not in RESERVED_XCOM_KEYS and not name.startswith("_link_")


def check_declared(declared: Collection[str] | str) -> list[str]:
    """
    Check ``push_outputs`` before anything is started.

    :raises ConfigurationError: for a name that is taken, or something that is no list of names.
    """
    names = [declared] if isinstance(declared, str) else list(declared)
    if bad := [name for name in names if name != "*" and not _may_be_key(name)]:
        raise ConfigurationError(f"push_outputs can't push {bad}: these XCom keys are taken or not names. Leave them out.")
    return names


class OutputPolicy:
    """
    Decides about outputs one by one, and remembers why some were left out.

    :param reveal: names of secret outputs that may go into XCom.
    :param folder: where large values go, or None.
    :param total: bytes of JSON that all outputs may have together.
    """

    def __init__(self, reveal: Collection[str], folder: ObjectStoragePath | None, total: int = MAX_OUTPUTS_BYTES) -> None:
        self.reveal = {reveal} if isinstance(reveal, str) else set(reveal)
        self.folder = folder
        self.omitted: dict[str, str] = {}
        self._total = self._left = total
        self._files: set[str] = set()

    def select(self, outputs: Mapping[str, Output], place: str = "") -> dict[str, Any]:
        """
        Pick what may go into XCom; a large value is replaced by the path that it was written to.

        :param place: step that the outputs belong to; empty for those of the whole execution.
        """
        return {name: value for name, output in outputs.items() for value in self._one(name, output, place)}

    def _one(self, name: str, output: Output, place: str) -> list[Any]:
        shown = f"{place}.{name}" if place else name
        secret = output.secret or looks_secret(name, output.value)
        if name not in self.reveal and (secret or next(secret_texts(output.value), None) is not None):
            kind = "secret" if secret else "holds a secret"
            self.omitted[shown] = f"{kind}: list it in reveal_outputs to pass it on in plain text"
            return []
        try:
            size = len(json.dumps(output.value, allow_nan=False).encode())
        except (TypeError, ValueError):
            self.omitted[shown] = "not JSON"
            return []
        if size > MAX_OUTPUT_BYTES:
            if self.folder is None:
                self.omitted[shown] = f"{size} bytes, over the {MAX_OUTPUT_BYTES} that go into XCom: set outputs_path to keep it"
                return []
            try:
                return [self._store(shown, output.value)]
            except OSError as error:
                self.omitted[shown] = f"{size} bytes, which could not be written to outputs_path: {error.strerror or error}"
                return []
        if size > self._left:
            self.omitted[shown] = f"all outputs together are over {self._total} bytes"
            return []
        self._left -= size
        return [output.value]

    def _store(self, name: str, value: Any) -> str:
        assert self.folder is not None
        text = value if isinstance(value, str) else json.dumps(value)
        stem, suffix = safe_name(name), ".txt" if isinstance(value, str) else ".json"
        number = 1
        while (file := f"{stem}{suffix}" if number == 1 else f"{stem}~{number}{suffix}") in self._files:
            number += 1
        self._files.add(file)
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)


def safe_name(text: str) -> str:
    """A file name out of a name that somebody else chose."""
    return re.sub(r"[^\w.=+@-]", "_", text).strip(".")[:150] or "_"


def storage_folder(base: str, context: Context) -> ObjectStoragePath:
    """A task's own folder below ``base``, so that no run overwrites another's."""
    from airflow.sdk import ObjectStoragePath

    ti = context["ti"]
    folder = ObjectStoragePath(base) / safe_name(ti.dag_id) / safe_name(ti.run_id) / safe_name(ti.task_id)
    return folder if ti.map_index is None or ti.map_index < 0 else folder / str(ti.map_index)


def to_push(declared: Collection[str], outputs: Mapping[str, Any], snapshot: Snapshot, omitted: Mapping[str, str]) -> dict[str, Any]:
    """
    XCom key to value for ``push_outputs``.

    :param declared: names, which are thereby required; ``"*"`` stands for all others, but never over another key.
    :raises OutputMissing: if a declared output is not there, or may not be passed on.
    """
    names = [name for name in declared if name != "*"]
    if missing := [name for name in names if name not in outputs]:
        reasons = "; ".join(f"{clean(name)}: {omitted.get(name, 'not output')}" for name in missing)
        there = ", ".join(clean(name) for name in list(outputs)[:20]) or "none"
        raise OutputMissing(
            f"Execution {snapshot.ref} ended {snapshot.status} without output that push_outputs declares: {reasons}. "
            f"Outputs at hand: {there}.{see(snapshot.url)}",
            ref=snapshot.ref,
            url=snapshot.url,
        )
    pushed = {name: outputs[name] for name in names}
    if "*" in declared:
        pushed |= {name: value for name, value in outputs.items() if _may_be_key(name) and name not in pushed}
    return pushed
