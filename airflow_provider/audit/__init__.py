"""Audits: what is configured, and what has run, judged by rules."""
