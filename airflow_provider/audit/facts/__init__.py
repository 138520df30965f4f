"""What rules judge."""
