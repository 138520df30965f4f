"""Chaos in a real Airflow: components are killed while tasks run, and at the end the emulator's ledger tells what was started twice."""
