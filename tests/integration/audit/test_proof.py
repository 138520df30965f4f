"""
Planted faults against all rules: what is found, what is missed, what is found where nothing is.

``AUDIT_SHARE=1`` takes the whole workspace (200 pipelines, 4,000 actions, 20,000 executions) instead of a part of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.audit.collect.collector import facts_in
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.finding import Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.execution import ExecutionFacts
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.settings.levels import Confidence
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.emulator import Emulator
from tests.integration.audit.conftest import CONFIGURATION, asked, collect, wanted
from tests.integration.audit.workspace import SETTINGS, Planted, Size, Workspace
from tests.virtual_clock import VirtualClock, in_use

SHARE = float(os.environ.get("AUDIT_SHARE", "0.05"))
pytestmark = [pytest.mark.long, pytest.mark.timeout(600 if SHARE < 0.5 else 3_600)]


@dataclass
class Proof:
    workspace: Workspace
    result: AuditResult
    cpu: float
    facts: Counter[str]
    requests: list[Counter[tuple[str, str, str]]]
    refused: int

    @property
    def planted(self) -> list[Planted]:
        """Those whose rule there is."""
        there = {rule.id for rule in all_rules()}
        return [fault for fault in self.workspace.planted if fault.rule in there]

    def found(self, fault: Planted) -> bool:
        """Whether it was found; a missing time limit at another action of its pipeline, which stands for all."""
        once = fault.rule == "BDY013"
        place = fault.subject.partition("/action/")[0] if once else fault.subject
        return any(
            finding.rule == fault.rule
            and (finding.subject.id.partition("/action/")[0] if once else finding.subject.id) == place
            and finding.path.startswith(fault.path)
            for finding in self.result.findings
        )


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    with pytest.MonkeyPatch.context() as patch, in_use(VirtualClock(), patch) as clock, Emulator(clock) as emulator:
        return proven(emulator, tmp_path_factory.mktemp("proof"), patch)


def proven(emulator: Emulator, folder: Path, patch: pytest.MonkeyPatch) -> Proof:
    workspace = Workspace(emulator, Size() if SHARE >= 1 else Size.part(SHARE), emulator.clock.now())
    until = datetime.fromtimestamp(workspace.now, timezone.utc)
    since = until - timedelta(hours=24)
    audit = Audit(AuditSettings.model_validate(SETTINGS), now=until, since=since, until=until)
    requests, cpu, facts = [], 0.0, Counter[str]()
    for system in emulator.systems.values():
        patch.setenv(system.connection_variable, system.connection_json())
    targets: list[dict[str, Any]] = [CONFIGURATION, *(wanted(system, now=workspace.now) for system in emulator.systems)]
    for number, target in enumerate(targets):
        began, spool = time.monotonic(), collect([target], folder / str(number))
        requests.append(asked(emulator))
        emulator.ledger.clear()
        count, took = sum(requests[-1].values()), time.monotonic() - began
        print(f"{target['system']}: {spool.count} records with {count} requests in {took:.0f} s")
        for fact in facts_in(spool):
            facts[type(fact).__name__] += 1
            before = time.process_time()
            audit.feed(fact)
            cpu += time.process_time() - before
    refused = emulator.ledger.count(status=429)
    before = time.process_time()
    result = audit.finish()
    return Proof(workspace, result, cpu + time.process_time() - before, facts, requests, refused)


def test_everything_is_read_and_no_rule_breaks(proof: Proof) -> None:
    size = proof.workspace.size
    print(f"{dict(proof.facts)}; rules took {proof.cpu:.1f} s of CPU time")
    assert proof.facts[ActionFacts.__name__] == size.actions
    emulator = proof.workspace.emulator
    made = sum(len(system.executions) for system in (emulator.buddy, emulator.tracecat, emulator.alga_psa))
    assert proof.facts[ExecutionFacts.__name__] == made >= size.buddy + size.tracecat + size.alga_psa
    assert proof.result.complete, (proof.result.gaps[:3], proof.result.errors[:3])


def test_every_planted_fault_is_found(proof: Proof) -> None:
    missed = [fault for fault in proof.planted if not proof.found(fault)]
    rules = {fault.rule for fault in proof.planted}
    found = len(proof.planted) - len(missed)
    print(f"recall: {found} of {len(proof.planted)} planted faults of {len(rules)} rules ({100 * found / len(proof.planted):.1f} %)")
    assert missed == []


def test_nothing_is_found_with_confidence_high_where_nothing_is(proof: Proof) -> None:
    planted = {(fault.rule, fault.subject) for fault in proof.workspace.planted}
    allowed = proof.workspace.follows
    false: list[Finding] = [
        finding
        for finding in proof.result.findings
        if finding.confidence is Confidence.HIGH
        and (finding.rule, finding.subject.id) not in planted
        and not any((rule, finding.subject.id) in planted for rule in allowed.get(finding.rule, ()))
    ]
    print(f"false positives at confidence high: {len(false)} {dict(Counter(finding.rule for finding in false))}")
    assert [(finding.rule, finding.subject.id, finding.path, finding.message) for finding in false[:20]] == []


def test_no_request_is_sent_twice(proof: Proof) -> None:
    assert [key for requests in proof.requests for key, count in requests.items() if count > 1] == []
    assert proof.refused == 0


def test_no_rule_with_confidence_high_is_without_a_planted_fault(proof: Proof) -> None:
    """Of those that a workspace can show; the others say here why not."""
    there = {rule.id for rule in all_rules() if rule.confidence is Confidence.HIGH and not rule.id.startswith("AUD")}
    assert sorted(there - {fault.rule for fault in proof.workspace.planted} - set(proof.workspace.not_planted)) == []
