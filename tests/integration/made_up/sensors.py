"""Sensor for Kiln."""

from typing import Any

from airflow_provider.execution.tasks.sensor import ExecutionSensor
from tests.integration.made_up.adapter import parse_ref
from tests.integration.made_up.hook import KilnTask


class KilnFiringSensor(KilnTask, ExecutionSensor):
    template_fields = ("ref", *ExecutionSensor.template_fields)

    def __init__(self, *, ref: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ref = ref

    def target(self, hook: object) -> str:
        return parse_ref(self.ref)
