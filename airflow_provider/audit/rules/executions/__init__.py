"""Rules about executions of the three systems."""
