"""Kiln's server, as one more system of the emulator: so it shares ledger and faults. Not part of the client."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.application import BUILDERS

KEY = "kiln-key"


@dataclass
class Part:
    """One part of a recipe; ``error``: of each lap, the last one repeats; ``gate``: it asks a person, and goes on after ``seconds``."""

    name: str
    seconds: float = 0.1
    log: Sequence[str] = ()
    results: dict[str, Any] = field(default_factory=dict)
    error: str | Sequence[str | None] | None = None
    tolerated: bool = False
    gate: bool = False


@dataclass
class Recipe:
    """``ends``: state at the end, whatever the parts give; ``limit``: seconds until it is overfired; ``lag``: of the results."""

    parts: Sequence[Part]
    ends: str | None = None
    limit: float = float("inf")
    lag: float = 0.0
    id: int = 0


@dataclass
class Firing:
    """One execution."""

    id: int
    recipe: Recipe
    laps: list[float]
    note: str | None = None
    label: str | None = None
    stopped: float | None = None
    answered: float | None = None


class KilnServer:
    """One more system of an emulator that is not started yet."""

    name = "kiln"
    prefix = "/kiln/v1"

    def __init__(self, emulator: Emulator) -> None:
        self.key = KEY
        self.cooling_seconds = 0.0
        self.list_lag = 0.0
        self.recipes: list[Recipe] = []
        self.firings: dict[int, Firing] = {}
        self._emulator = emulator
        emulator.systems[self.name] = self  # type: ignore[assignment]

    @property
    def url(self) -> str:
        return self._emulator.url + self.prefix

    def _now(self) -> float:
        return self._emulator.clock.now()

    def add(self, recipe: Recipe) -> Recipe:
        self.recipes.append(recipe)
        recipe.id = len(self.recipes)
        return recipe

    def fire(self, recipe: Recipe, **given: Any) -> Firing:
        firing = Firing(len(self.firings) + 1, recipe, [self._now()], **given)
        self.firings[firing.id] = firing
        return firing

    def quench(self, firing: Firing) -> None:
        if firing.stopped is None and self.show(firing)["over"] is None:
            firing.stopped = self._now()

    def answer(self, firing: Firing) -> None:
        firing.answered = self._now()

    def again(self, firing: Firing) -> None:
        firing.laps.append(self._now())
        firing.stopped = firing.answered = None

    def lines(self, firing: Firing) -> list[dict[str, str]]:
        return [{"part": part.name, "text": text} for part, _, _, log in self._play(firing) for text in log]

    def _play(self, firing: Firing) -> list[tuple[Part, str, float, list[str]]]:
        """Each part with its state, its end, and its log so far."""
        lap, now = len(firing.laps) - 1, self._now()
        now = min(now, firing.laps[-1] + firing.recipe.limit, firing.stopped if firing.stopped else now)
        at, state = firing.laps[-1], "glazed"
        told: list[tuple[Part, str, float, list[str]]] = []
        for part in firing.recipe.parts:
            if state not in ("glazed", "tolerated"):
                told.append((part, "cold", at, []))
                continue
            end = at + part.seconds
            if part.gate and firing.answered is not None:
                end = min(end, max(firing.answered, at))
            shown = [text for number, text in enumerate(part.log) if at + part.seconds * number / len(part.log) <= now]
            error = part.error if part.error is None or isinstance(part.error, str) else part.error[min(lap, len(part.error) - 1)]
            state = ("asks" if part.gate else "hot") if end > now else "glazed" if error is None else "cracked"
            told.append((part, state, end, shown))
            state, at = ("tolerated" if part.tolerated and state == "cracked" else state), end
        return told

    def show(self, firing: Firing) -> dict[str, Any]:
        played, now = self._play(firing), self._now()
        going = next(((part, state, end) for part, state, end, _ in played if state in ("hot", "asks")), None)
        broken = next(((part, end) for part, state, end, _ in played if state == "cracked" and not part.tolerated), None)
        over: float | None = None
        if broken:
            state, over = "cracked", broken[1]
        elif going and firing.stopped:
            over = firing.stopped + self.cooling_seconds
            state, over = ("quenched", over) if over <= now else ("cooling", None)
        elif going and firing.laps[-1] + firing.recipe.limit <= now:
            state, over = "overfired", firing.laps[-1] + firing.recipe.limit
        elif going:
            state = going[1]
        else:
            state, over = firing.recipe.ends or "glazed", played[-1][2]
        results = {name: value for part, state_, _, _ in played if state_ == "glazed" for name, value in part.results.items()}
        lap = len(firing.laps) - 1
        return {
            "id": firing.id,
            "state": state,
            "lap": lap + 1,
            "label": firing.label,
            "page": f"{self._emulator.url}/kiln/{firing.id}",
            "begun": _iso(firing.laps[-1]),
            "over": _iso(over),
            "asks_for": going[0].name if going and state == "asks" else None,
            "parts": [
                {
                    "name": part.name,
                    "state": "chipped" if state_ == "cracked" and part.tolerated else state_,
                    "error": (part.error if isinstance(part.error, str) else (part.error or [""])[lap]) if state_ == "cracked" else None,
                }
                for part, state_, _, _ in played
            ],
            "results": results if over is not None and over + firing.recipe.lag <= now else {},
        }

    def application(self) -> FastAPI:
        application = FastAPI(openapi_url=None)

        def find(request: Request, number: int) -> Firing:
            if request.headers.get("x-kiln-key") != self.key:
                raise HTTPException(401)
            if number not in self.firings:
                raise HTTPException(404)
            return self.firings[number]

        @application.post("/recipes/{recipe}/firings", status_code=201)
        async def start(request: Request, recipe: int) -> dict[str, Any]:
            body = await request.json()
            return self.show(self.fire(self.recipes[recipe - 1], note=body["note"], label=body["label"]))

        @application.get("/recipes/{recipe}/firings")
        async def listed(recipe: int) -> list[dict[str, Any]]:
            of = [one for one in self.firings.values() if one.recipe.id == recipe]
            return [self.show(one) for one in of if one.laps[0] + self.list_lag <= self._now()]

        @application.get("/firings/{number}")
        async def read(request: Request, number: int) -> dict[str, Any]:
            return self.show(find(request, number))

        @application.get("/firings/{number}/log")
        async def log(request: Request, number: int, after: int = 0, limit: int = 1000, last: int | None = None) -> list[dict[str, str]]:
            lines = self.lines(find(request, number))
            return lines[after : after + limit] if last is None else lines[-last:]

        @application.delete("/firings/{number}", status_code=204)
        async def quench(request: Request, number: int) -> None:
            self.quench(find(request, number))

        @application.post("/firings/{number}/again")
        async def again(request: Request, number: int) -> dict[str, Any]:
            self.again(firing := find(request, number))
            return self.show(firing)

        return application

    def error_body(self, status: int, message: str) -> Any:
        return {"detail": message}

    def close(self) -> None:
        """Nothing runs in the background."""


BUILDERS[KilnServer.name] = KilnServer.application


def of(emulator: Emulator) -> KilnServer:
    """The emulator's one."""
    server = emulator.systems[KilnServer.name]
    assert isinstance(server, KilnServer)
    return server


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, timezone.utc).isoformat()
