"""The mechanism: everything about living with an execution, whichever system it lives in."""
