"""Sensors that start in the triggerer, without a worker: which ones can, as JSON, and their trigger."""
