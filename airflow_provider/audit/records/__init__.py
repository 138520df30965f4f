"""Exported records: API answers in files, and the facts that they hold."""
