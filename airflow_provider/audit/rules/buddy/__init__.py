"""Rules about how Buddy pipelines and actions are configured."""
