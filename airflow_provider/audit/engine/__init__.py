"""The engine: checks facts by rules and turns the outcomes into findings."""
