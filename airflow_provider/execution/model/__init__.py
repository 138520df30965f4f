"""The words that all others share: phase, snapshot, request, result, and what a system has to answer."""
