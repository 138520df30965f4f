"""
Facts that rules check: frozen, made of API answers by ``records``.

Times are UTC, durations are in seconds. ``fields`` names the fields that the answer contained, even as null: other fields were not visible,
and rules that depend on them are *not available*. Facts contain values unchanged, including secrets, so their repr shows no values.
"""
