"""For the controls: takes out of the provider, in this process, what the chaos run is to prove. ``CHAOS_WITHOUT`` says what."""

from __future__ import annotations

import os

from airflow_provider.execution import operator, store
from airflow_provider.execution.kill import Verdict

WITHOUT = os.environ.get("CHAOS_WITHOUT", "")

if WITHOUT == "re-attachment":
    store.load = lambda context: None
elif WITHOUT == "guard":
    operator.ask = lambda key: Verdict.CANCEL
