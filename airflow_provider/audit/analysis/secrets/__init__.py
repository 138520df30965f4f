"""Secrets: recognised by shape or by name."""
