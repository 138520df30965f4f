"""Tracecat (tracecat.com): security automation workflows, on Temporal."""
