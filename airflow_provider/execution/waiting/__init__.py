"""Waiting for an execution: one poll at a time, alone or together with other waits."""
