"""Parsers of what fields hold, which know nothing of audits: scripts, secrets, image references."""
