"""Scripts: their commands, and what the commands do."""
