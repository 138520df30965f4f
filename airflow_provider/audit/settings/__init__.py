"""What an organisation allows, and the levels that settings and findings are expressed in."""
