"""The run time of the audit operators."""
