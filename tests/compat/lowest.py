"""
``make lowest``: unit, contract and integration tests on the oldest Airflow, with the lowest versions of everything that is declared.

What is left out is about newer versions, or about something that Airflow itself does and the tests play. The scenarios have it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from tempfile import TemporaryDirectory

from tests.compat.versions import AUDIT, AUDIT_UNTIL, ENVIRONMENTS, FLOOR, LOCKS, RELEASED, ROOT, UV, day_after, install

LOCK = LOCKS / "lowest.lock"
NEWER = (*AUDIT, "aiohttp", "hyperscan")
"""Requirements whose lowest version is younger than the oldest Airflow."""
TOOLS = ("hypothesis", "jsonschema", "psutil", "pytest", "pytest-timeout", "pytest-xdist", "statsd", "tomli")
"""What the tests need besides, as in the lock file of the newest Airflow."""
TESTS = ("tests/unit", "tests/contract", "tests/integration")
_OUTSIDE = "connections are read outside a task, asynchronously"
_STORE = "what the state store of newer versions keeps, and refuses"
_GRAMMAR = "the oldest grammar of Bash reads arithmetic otherwise"
_TRIGGERER = "only newer versions start tasks in the triggerer"
_FIELDS = "rendered fields are redacted by the API server there, which is played"
LEFT_OUT = {
    "tests/integration/audit/test_operators.py::test_a_refused_credential_leaves_nothing_behind": "the supervisor is played without async",
    "tests/integration/test_arguments.py::test_the_reports_of_mapped_audits_are_joined": "mapped results are read otherwise there",
    "tests/integration/test_arguments.py::test_the_results_of_a_mapped_task_are_a_list": "mapped results are read otherwise there",
    "tests/integration/test_asset_watchers.py": "watchers share streams in newer versions",
    "tests/integration/test_buddy_acts.py::test_a_worker_that_was_superseded_never_stops": _STORE,
    "tests/integration/test_canary.py::test_failures": _FIELDS,
    "tests/integration/test_canary.py::test_secret_outputs": _FIELDS,
    "tests/integration/test_clock_jumps.py::test_a_watcher_heeds_the_remote_clock": "watchers share streams in newer versions",
    "tests/integration/test_clock_jumps.py::test_a_watcher_tells_each_end_when_the_clock_jumps": "watchers share streams in newer versions",
    "tests/integration/test_coalesced.py::test_lists_stand_for_single_requests": _TRIGGERER,
    "tests/integration/test_commands.py": "their output holds warnings of that Airflow",
    "tests/integration/test_example_dags.py::test_asset": "watchers share streams in newer versions",
    "tests/integration/test_example_dags.py::test_fan_out": "names of mapped tasks that newer versions have",
    "tests/integration/test_example_dags.py::test_no_worker_slot": _TRIGGERER,
    "tests/integration/test_example_dags.py::test_release_train": "names of mapped tasks that newer versions have",
    "tests/integration/test_faults.py::test_a_credential_that_was_rotated_is_read_again": _TRIGGERER,
    "tests/integration/test_gate_in_airflow.py::test_cleared_while_it_waits": "that triggerer knows no virtual clock",
    "tests/integration/test_hostile_answers.py::test_an_id_that_a_list_gives_leads_to_its_place_or_nowhere": _TRIGGERER,
    "tests/integration/test_lineage.py": "OpenLineage is not installed",
    "tests/integration/test_logs_and_secrets.py::test_the_credential_is_in_no_kwargs_event_or_exception": _FIELDS,
    "tests/integration/test_metrics.py": "names that newer versions have",
    "tests/integration/test_outcomes.py::test_succeeded": _TRIGGERER,
    "tests/integration/test_retries.py": "newer versions have retry policies",
    "tests/integration/test_search.py::test_a_running_sensor_that_is_told_to_stop": "a clear is told by what newer versions count",
    "tests/integration/test_search.py::test_a_trigger_that_can_not_read_what_another_found": "names that newer versions have",
    "tests/integration/test_start_from_trigger.py": _TRIGGERER,
    "tests/integration/test_start_once.py::test_a_superseded_worker_does_not_send_its_request_again": _STORE,
    "tests/integration/test_start_once.py::test_a_worker_that_was_superseded_during_its_request": _STORE,
    "tests/integration/test_start_once.py::test_an_execution_that_could_not_be_noted": _STORE,
    "tests/integration/test_start_once.py::test_what_nobody_follows_and_can_not_be_cancelled_is_named": _STORE,
    "tests/integration/test_upgrades.py": _STORE,
    "tests/integration/test_xcom_writes.py::test_a_task_goes_on_without": _TRIGGERER,
    "tests/unit/alga_psa/test_hook.py": _OUTSIDE,
    "tests/unit/audit/analysis/test_shell.py::test_how_statements_are_joined[((a > b)) && c": _GRAMMAR,
    "tests/unit/audit/analysis/test_tolerated.py::test_failures_that_count_and_look_alikes[npm test || FAILED=1": _GRAMMAR,
    "tests/unit/audit/definitions/test_inputs.py::test_an_export_needs_something_to_export": _OUTSIDE,
    "tests/unit/audit/reports/test_command_line.py::test_a_connection_that_is_refused_or_not_there_is_told": _OUTSIDE,
    "tests/unit/buddy/test_hook.py": _OUTSIDE,
    "tests/unit/buddy/test_operators.py::test_secret_variables_are_redacted_in_rendered_fields_and_logs": _FIELDS,
    "tests/unit/execution/attempt/test_note.py": "a clear is told by what newer versions count",
    "tests/unit/execution/http/test_environment.py": _OUTSIDE,
    "tests/unit/execution/http/test_renewed_credentials.py": _OUTSIDE,
    "tests/unit/execution/in_triggerer/test_serialization.py": "serialisation of newer versions",
    "tests/unit/execution/waiting/test_trigger.py": "serialisation of newer versions",
    "tests/unit/test_compat.py": "what newer versions have is taken away there",
    "tests/unit/test_connection_settings.py": _OUTSIDE,
    "tests/unit/test_errors.py": "classes that newer versions have",
    "tests/unit/test_harness.py::test_a_deferral_keeps_its_kwargs_renders_templates_and_survives_retries": "kwargs of newer versions",
    "tests/unit/test_harness.py::test_the_harness_plays_this_airflow": "that newer names are there",
    "tests/unit/test_imports.py": "counts what the newest version imports",
    "tests/unit/test_pages.py": "names that newer versions have",
    "tests/unit/test_patterns.py": "imports modules that need newer versions",
    "tests/unit/test_provider_info.py": "names that newer versions have",
    "tests/unit/test_reference.py": "arguments that newer versions have",
    "tests/unit/tracecat/test_hook.py": _OUTSIDE,
    "tests/unit/tracecat/test_login.py": _OUTSIDE,
}
"""Module, folder or test to why it can't run there."""


def lock() -> None:
    """Resolve the environment anew."""
    locked = (ROOT / "requirements-dev.lock").read_text()
    tools = [line for tool in TOOLS for line in re.findall(rf"^{tool}==[^ ]+(?: ;.*?)?(?= \\)", locked, re.MULTILINE)]
    command = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.10", "--generate-hashes"]
    command += ["--resolution", "lowest-direct", "--custom-compile-command", "make lowest OPTIONS=--lock"]
    command += ["--exclude-newer", day_after(RELEASED[FLOOR])]
    for package in (*NEWER, *TOOLS):
        command += ["--exclude-newer-package", f"{package}={AUDIT_UNTIL}"]
    for extra in ("aiohttp", "audit", "emulator", "logs"):
        command += ["--extra", extra]
    subprocess.run([UV, *command, "pyproject.toml", "-", "-o", LOCK], cwd=ROOT, input="\n".join(tools), text=True, check=True)


def main(arguments: Sequence[str]) -> int:
    """Run the tests, or only resolve the environment anew."""
    if "--lock" in arguments:
        lock()
        return 0
    python = install(ENVIRONMENTS / "lowest", LOCK)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "--dist", "worksteal", "-m", "not long", *TESTS]
    # Older libraries warn of what newer ones have changed since.
    command += ["-W", "ignore::PendingDeprecationWarning", *(f"--{'deselect' if '::' in path else 'ignore'}={path}" for path in LEFT_OUT)]
    command += arguments
    with TemporaryDirectory(prefix="lowest-") as home:
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "AIRFLOW_HOME": home}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
