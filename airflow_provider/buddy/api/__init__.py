"""Buddy's API: routes, models, requests, and how it words its errors."""
