"""Asset watchers: executions that end although no task waits for them."""
