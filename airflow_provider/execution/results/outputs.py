"""Decides which outputs go into XCom, and why the others are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_provider.errors import ConfigurationError, ExecutionInterrupted, OutputMissing, one_line
from airflow_provider.execution.model.arguments import texts
from airflow_provider.execution.model.snapshot import Output, Snapshot, see
from airflow_provider.execution.results.known_secrets import CREDENTIAL, contains, hidden, parts_of
from airflow_provider.execution.results.redaction import clean, looks_secret, secret_texts

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

MAX_OUTPUT_BYTES = 48 * 1024
"""Maximum size of one output in XCom, as JSON."""
MAX_OUTPUTS_BYTES = 256 * 1024
"""Maximum size of all outputs of a result together, as JSON, with the outputs of the steps."""
RESERVED_XCOM_KEYS = frozenset(
    {"return_value", "url", "ref", "execution", "skipmixin_key", "execution_progress", "execution_view", "ended_by"}
)
"""XCom keys that this package or Airflow uses."""
MAX_NAME = 130
"""Maximum bytes of a name from elsewhere in a file name; file systems allow 255 in all."""
MAX_REASON = 300
"""Maximum number of characters of the reason why a file could not be written."""
_PLAIN_NAME = re.compile(r"[a-z0-9_=+@-](?:[a-z0-9_.=+@-]*[a-z0-9_=+@-])?")
_KEY = re.compile(r"(?!\.+$)[\w .=+@:-]{1,250}")


def _may_be_key(name: object) -> bool:
    """Whether an output's name may be an XCom key: not reserved, and safe as part of a URL, since Airflow puts it into one."""
    return isinstance(name, str) and bool(_KEY.fullmatch(name)) and name not in RESERVED_XCOM_KEYS and not name.startswith("_link_")


def check_declared(declared: Collection[str] | str | None) -> list[str]:
    """
    Check ``push_outputs`` before anything is started.

    :returns: the names, as a list.
    :raises ConfigurationError: for anything but texts, and a name that is reserved, or can't be an XCom key.
    """
    names = texts(declared, "push_outputs")
    if bad := [name for name in names if name != "*" and not _may_be_key(name)]:
        raise ConfigurationError(f"push_outputs can't push {bad}: these XCom keys are reserved, or not valid. Remove them.")
    return names


class OutputPolicy:
    """
    Decides about outputs one by one, and keeps in ``omitted`` why some were left out.

    :param reveal: names of secret outputs that may go into XCom.
    :param folder: folder for large values, or None.
    :param total: maximum size of all outputs together, in bytes of JSON.
    :param hidden: known secrets, such as those that the task passed.
    """

    def __init__(
        self,
        reveal: Collection[str] | str | None,
        folder: ObjectStoragePath | None,
        total: int = MAX_OUTPUTS_BYTES,
        hidden: Iterable[str] = (),
    ) -> None:
        self.reveal = set(texts(reveal, "reveal_outputs"))
        self.folder = folder
        self.omitted: dict[str, str] = {}
        self._secrets = tuple(hidden)
        self._hidden = parts_of(self._secrets)
        self._total = self._left = total
        self._files: set[str] = set()

    def select(self, outputs: Mapping[str, Output], place: str = "") -> dict[str, Any]:
        """
        Select the outputs that may go into XCom. A large value is replaced by the path of the file that it is written to.

        :param place: name of the step that the outputs belong to; empty for those of the whole execution.
        """
        return {hidden(name, self._hidden): value for name, output in outputs.items() for value in self._selected(name, output, place)}

    def _selected(self, name: str, output: Output, place: str) -> list[Any]:
        shown = hidden(f"{place}.{name}" if place else name, self._hidden)
        secret = output.secret or looks_secret(name, output.value)
        holds_secret = secret or next(secret_texts(output.value), None) is not None or contains(output.value, self._hidden)
        if contains(output.value, (CREDENTIAL,)):
            self.omitted[shown] = "contains the credential of the connection, which is never pushed"
            return []
        if name not in self.reveal and holds_secret:
            kind = "secret" if secret else "contains a secret"
            self.omitted[shown] = f"{kind}: list it in reveal_outputs to push it in plain text"
            return []
        try:
            size = len(json.dumps(output.value, allow_nan=False).encode())
        except (TypeError, ValueError):
            self.omitted[shown] = "not JSON, such as NaN or Infinity"
            return []
        except RecursionError:
            self.omitted[shown] = "nested too deep"
            return []
        if size > MAX_OUTPUT_BYTES:
            if self.folder is None:
                self.omitted[shown] = f"{size} bytes, over the limit of {MAX_OUTPUT_BYTES} for XCom: set outputs_path to keep it"
                return []
            try:
                return [self._store(shown, output.value)]
            except ExecutionInterrupted:
                raise
            except Exception as error:  # object stores have classes of errors of their own
                self.omitted[shown] = f"{size} bytes, which could not be written to outputs_path: {self._reason(error)}"
                return []
        if size > self._left:
            self.omitted[shown] = f"all outputs together are over {self._total} bytes"
            return []
        self._left -= size
        return [output.value]

    def _reason(self, error: Exception) -> str:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        return one_line(clean(text, self._secrets), MAX_REASON)

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
    """
    A safe file name made of a name from elsewhere. Different names never share one, also where upper and lower case are the same.

    A short name of lower-case letters, digits and some signs stays as it is. Any other gets a checksum, its other signs are replaced.
    """
    if len(text) <= MAX_NAME and _PLAIN_NAME.fullmatch(text):
        return text
    readable = re.sub(r"[^\w.=+@-]", "_", text).strip(".").encode(errors="replace")[:MAX_NAME].decode(errors="ignore")
    return f"{readable}~{sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}"


def storage_folder(base: str, context: Context) -> ObjectStoragePath:
    """The folder of this task instance below ``base``, so that no run overwrites the files of another."""
    from airflow.sdk import ObjectStoragePath

    ti = context["ti"]
    folder = ObjectStoragePath(base) / safe_name(ti.dag_id) / safe_name(ti.run_id) / safe_name(ti.task_id)
    return folder if ti.map_index is None or ti.map_index < 0 else folder / str(ti.map_index)


def to_push(declared: Collection[str], outputs: Mapping[str, Any], snapshot: Snapshot, omitted: Mapping[str, str]) -> dict[str, Any]:
    """
    The XComs for ``push_outputs``, key to value.

    :param declared: names of required outputs; ``"*"`` adds all others, without overwriting existing keys.
    :param outputs: the outputs that may be pushed.
    :param omitted: why others may not, name to reason.
    :raises OutputMissing: if a declared output is missing, or may not be pushed.
    """
    names = [name for name in declared if name != "*"]
    if missing := [name for name in names if name not in outputs]:
        # What could not be read may hold it: that is not "not produced".
        unread = next((f"not known, {clean(place)} could not be read: {why}" for place, why in snapshot.outputs_omitted.items()), None)
        reasons = "; ".join(f"{clean(name)}: {omitted.get(name) or unread or 'not produced'}" for name in missing)
        available = ", ".join(clean(name) for name in list(outputs)[:20]) or "none"
        raise OutputMissing(
            f"Execution {snapshot.ref} ended {snapshot.status} without outputs that push_outputs requires: {reasons}. "
            f"Available outputs: {available}.{see(snapshot.url)}",
            ref=snapshot.ref,
            url=snapshot.url,
        )
    pushed = {name: outputs[name] for name in names}
    if "*" in declared:
        pushed |= {name: value for name, value in outputs.items() if _may_be_key(name) and name not in pushed}
    return pushed
