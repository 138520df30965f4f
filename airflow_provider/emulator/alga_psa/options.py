"""The options of an emulated AlgaPSA installation."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider.emulator.alga_psa.access import ApiKey


@dataclass(eq=False)
class Options:
    """Options of an AlgaPSA installation; each can be set at any time.

    :ivar key: the key of ``connection_json``; its permissions, tenant, expiry and rate limit can be changed.
    :ivar mode: ``"contract"``: as the vendor documents its API and means it; ``"as_deployed"``: as all releases so far answer, which have
        no storage: 500 to nearly everything, and 403 to everything if the key's ``permissions`` are emptied, as they are by default there.
    :ivar release: below 1.3, 500 takes the place of 404 and 409.
    :ivar engine: False: executions are accepted and stay ``pending``, unless somebody acts on them.
    :ivar nested_lists: whether lists of executions and templates come as ``[[...]]``.
    :ivar error_form: ``"object"``, or ``"string"``: ``error`` is the message alone.
    :ivar times_have_z: False: times come without their zone.
    :ivar nulls: ``"omit"`` or ``"null"``: how fields of an execution without a value come.
    :ivar retry_clears: False: after a retry, ``completed_at``, ``duration_ms`` and ``error_message`` of the failure stay.
    :ivar list_lag: seconds until a new execution shows in the list.
    :ivar product: edition of the tenant: ``"psa"``, or ``"algadesk"``, which may not use this API.
    """

    key: ApiKey = field(default_factory=lambda: ApiKey("emulator-key"))
    mode: str = "contract"
    release: str = "1.4"
    engine: bool = True
    nested_lists: bool = True
    error_form: str = "object"
    times_have_z: bool = True
    nulls: str = "omit"
    retry_clears: bool = True
    list_lag: float = 0.0
    product: str = "psa"
