"""The engine: asks rules about facts and turns their answers into findings."""
