"""Rules about the configuration of Tracecat workflows."""
