"""AlgaPSA's executions as snapshots, steps and log lines."""
