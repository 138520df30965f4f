"""The base classes of operators, sensors and links."""
