"""What one attempt of a task leaves for the next, and why a task was terminated."""
