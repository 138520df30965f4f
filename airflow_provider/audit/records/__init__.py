"""Exported records: API answers in files, and their facts."""
