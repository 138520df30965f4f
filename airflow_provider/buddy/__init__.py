"""Buddy (buddy.works): CI/CD pipelines and their executions."""
