"""Buddy's executions, as the mechanism sees them."""
