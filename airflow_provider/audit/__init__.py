"""Audits: configuration and executions, checked by rules."""
