"""Sensors that start in the triggerer, without a worker."""
