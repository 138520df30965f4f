"""What users on one event loop share: made once, forgotten with its last user."""

from __future__ import annotations

import asyncio

from airflow_provider.execution.http.per_loop_registry import PerLoopRegistry


def test_an_object_is_shared_until_its_last_user_has_released_it() -> None:
    registry: PerLoopRegistry[str, object] = PerLoopRegistry()

    async def main() -> None:
        first = registry.hold("a", object)
        assert registry.hold("a", object) is first
        other = registry.hold("b", object)
        assert other is not first
        assert len(registry) == 2
        assert [registry.release("a"), registry.release("a"), registry.release("b")] == [False, True, True]
        assert len(registry) == 0
        assert registry.hold("a", object) is not first

    asyncio.run(main())


def test_each_event_loop_has_its_own() -> None:
    registry: PerLoopRegistry[str, object] = PerLoopRegistry()

    async def main() -> object:
        assert len(registry) == 0
        return registry.hold("a", object)

    assert asyncio.run(main()) is not asyncio.run(main())
