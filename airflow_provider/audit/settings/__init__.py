"""Settings of an organisation, and the levels that settings and findings use."""
