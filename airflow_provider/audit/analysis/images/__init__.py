"""Names of container images."""
