"""The values that everything else passes around: phase, snapshot, request, result; and the interface of a system's adapter."""
