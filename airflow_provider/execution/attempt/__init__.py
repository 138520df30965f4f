"""What one try of a task leaves for the next, and why a task was terminated."""
