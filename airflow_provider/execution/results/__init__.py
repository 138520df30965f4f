"""From an ended execution to the task's end: outcome, outputs, logs, and what must not be shown."""
