"""What the audit operators do while they run."""
