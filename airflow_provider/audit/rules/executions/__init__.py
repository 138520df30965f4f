"""Rules about what executions of the three systems did."""
