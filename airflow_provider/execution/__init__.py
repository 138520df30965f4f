"""
The mechanism: everything about living with an execution, whichever system it lives in.

Read from the outside in: ``operator`` and ``sensor`` (what a task does), ``task`` (what both share), ``store`` (which
execution is ours), ``watch`` (waiting), ``outcome`` (what an end means), ``system`` (what a system tells us), ``transport`` (HTTP).
"""
