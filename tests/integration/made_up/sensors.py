from typing_extensions import Unpack

from airflow_provider.execution.tasks.sensor import ExecutionSensor
from airflow_provider.execution.tasks.signatures import SensorArguments
from airflow_provider.execution.tasks.target import Target
from tests.integration.made_up.adapter import parse_ref
from tests.integration.made_up.hook import KilnHook, KilnTask


class KilnFiringSensor(KilnTask, ExecutionSensor[KilnHook]):
    template_fields = ("ref", *ExecutionSensor.template_fields)

    def __init__(self, *, ref: str, **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(**kwargs)
        self.ref = ref

    def _target(self, hook: KilnHook) -> Target:
        return Target(parse_ref(self.ref))
