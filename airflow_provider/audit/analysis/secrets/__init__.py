"""Secrets: recognised by their format or by their name."""
