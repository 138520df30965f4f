"""Scripts: their commands, and what these do."""
