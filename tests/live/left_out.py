"""Which tests of the behaviour suite are not run on a real server, and why."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from tests.integration import test_kill, test_logs_and_secrets, test_outcomes, test_promises, test_retries, test_start_once

MODULES: tuple[ModuleType, ...] = (test_outcomes, test_start_once, test_retries, test_kill, test_logs_and_secrets, test_promises)

_HOURS = "lets more time pass than anybody waits for"
_DELETES = "the API deletes no execution"
_EMULATOR = "plays with the emulator itself, or with another system of it"
_SUITE = "is about the suite, not about a server"

LEFT_OUT: dict[str, str] = {
    # test_outcomes
    "test_deleted_between_the_event_and_the_last_look": _DELETES,
    "test_vanished": _DELETES,
    "test_a_ref_that_was_never_seen_fails_at_the_first_404": _DELETES,
    "test_unknown_status_is_no_end": "alters answers, which then seem to be about another execution",
    "test_a_sensors_patience_begins_anew_with_each_try": _HOURS,
    "test_the_link_survives_a_poke_without_answer": _HOURS,
    "test_unreachable": _HOURS,
    "test_soft_fail_skips_when_vanished_or_unreachable": _HOURS,
    "test_what_is_skipped_for_which_system": _SUITE,
    "test_every_kind_and_ability_is_had_by_some_system": _SUITE,
    "test_the_suite_skips_in_one_place_only": _SUITE,
    # test_retries
    "test_an_api_that_is_away_is_retried": _HOURS,
    "test_every_error_has_its_rule": _SUITE,
    "test_what_is_not_ours_is_retried_as_usual": _SUITE,
    # test_kill
    "test_a_look_up_that_outlasts_the_time_of_a_kill_cancels_all_the_same": "the list must lag by a second, to the moment",
    "test_execution_timeout_in_the_middle_of_a_resumption_cancels_nothing": "an execution that may be reset with success takes a while",
    # test_start_once
    "test_a_copy_with_the_same_marker_is_not_taken_for_its_execution": _EMULATOR,
    # test_promises
    "test_after_ten_minutes_without_an_answer_a_retry_goes_on_with_the_same_execution": _HOURS,
    "test_without_a_connection_nothing_is_started_and_a_retry_may_find_it": _HOURS,
    "test_cancelling_what_has_ended_in_tracecat": _EMULATOR,
    "test_tracecat_does_not_show_that_an_execution_is_being_stopped": _EMULATOR,
    "test_past_the_timeout_a_success_is_collected": _HOURS,
    "test_past_the_timeout_on_retry_decides_after_a_failure": _HOURS,
    "test_what_is_ended_between_two_tries_goes_on_until_the_task_is_cleared": _HOURS,
    "test_a_search_says_every_ten_minutes_what_it_has_seen": _EMULATOR,
    "test_in_alga_psa_what_is_pending_is_on_a_shared_list_too": _EMULATOR,
    "test_the_expired_address_of_a_stored_result_is_asked_for_again_once": _EMULATOR,
    "test_a_credential_that_was_rotated_before_a_start_a_log_or_a_cancel_request": _EMULATOR,
    "test_a_long_comment_does_not_fill_the_xcom": _EMULATOR,
    "test_a_log_that_has_no_end_does_not_hold_a_task": _EMULATOR,
    "test_a_log_that_is_refused_is_warned_of_once_and_the_wait_goes_on": _EMULATOR,
}
"""Test to the reason. What needs something that the server lacks (``LiveTracecat.lacks``) is skipped by the suite itself."""

OTHER_MODULES: dict[str, str] = {
    "test_faults": "hundreds of cases in which the network is played, each with minutes of pauses",
    "test_answers_about_others": "alters answers",
    "test_reasons_of_refusals": "plays gateways and proxies",
    "test_wrong_arguments": "nothing is sent, or nothing that depends on the server",
    "test_xcom_writes": "Airflow's API fails, not the server",
    "test_metrics": "what Airflow counts; what a server answers does not matter",
    "test_commands": "reads and cancels as the hooks do",
    "test_lineage": "what Airflow is told; what a server answers does not matter",
    "test_upgrades": "puts what an earlier version has stored in the place of what was just stored",
    "test_clock_jumps": "only the virtual clock jumps",
    "test_hostile_answers": "alters each field of recorded answers; what a server answers does not matter",
    "test_words_in_headers": "extra headers that are words of the emulator's answers",
    "test_lost_resumes": "answers must be lost, and somebody else must act at that moment",
    "test_long_answers": "the emulator must serve a log of a gigabyte",
    "test_notes_in_variables": "plays an older Airflow",
    "test_long_lists": "the emulator must hold thousands of executions",
    "test_canary": "looks for planted credentials in what the emulator echoes",
    "test_coalesced": "hundreds of executions that end at given moments",
    "test_asset_watchers": "executions that end at given moments",
    "test_example_dags": "its DAGs name pipelines and workflows of the emulator's scenario",
    "test_search": "sensors of Buddy",
    "test_buddy_actions": "sensors of Buddy",
    "test_buddy_acts": "operators of Buddy",
    "test_gate_in_airflow": "an operator of Buddy, and hours at its gate",
    "test_start_from_trigger": "sensors of Buddy",
    "test_arguments": "arguments are checked before anything is sent",
    "test_error_messages": "what the emulator answers is put into words",
    "test_broken_details": "alters addresses in what the emulator answers",
    "test_echoed_secrets": "the emulator must say secrets back",
    "test_xcom_backend": "is about Airflow, not about a server",
    "test_view": "counts what is written within minutes",
}
"""Modules of the behaviour suite of which nothing is run, and why."""


def named_in(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The tests that stand in a module itself."""
    return {name: value for name, value in vars(module).items() if name.startswith("test_") and callable(value)}


def remaining() -> dict[str, Callable[..., Any]]:
    """The tests that are run on a real server."""
    return {name: test for module in MODULES for name, test in named_in(module).items() if name not in LEFT_OUT}
