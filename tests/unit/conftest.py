"""Settings of the property tests: no deadlines on a shared machine, no files left behind."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("unit", deadline=None, database=None, max_examples=60)
hypothesis.settings.load_profile("unit")
