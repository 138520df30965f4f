"""The bases of operators and sensors."""
