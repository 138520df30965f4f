"""Waiting for an execution: one look at a time, alone or together with others."""
