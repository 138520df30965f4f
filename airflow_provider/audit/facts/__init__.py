"""
What rules look at: frozen facts, made of API answers by ``records``.

Times are UTC, durations seconds. ``given`` names the fields that the answer held, be it as null: a field that is not in it was not
visible, and what depends on it is *not available*. Facts hold values as they came, secrets too, so their repr shows none.
"""
