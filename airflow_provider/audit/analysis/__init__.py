"""Analysis of field values, independent of audits: scripts, secrets, image references."""
