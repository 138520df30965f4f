"""Coordinates of the plots of durations and failure rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from airflow_provider.audit.engine.result import Point
from airflow_provider.audit.facts.window import WindowCounts, WindowFacts
from airflow_provider.audit.settings.levels import Severity

MAX_PLOTTED = 100
TREND_HEIGHT = 90
BAR, BAR_GAP = 16, 4
"""Width of a bar of the trend, and of the space between two, in SVG units."""
WIDTH = 160
"""Width of a plot, in SVG units."""


@dataclass(frozen=True)
class Box:
    """Positions of a box plot; the whiskers are the 5th and 95th percentile."""

    low: float
    first: float
    middle: float
    third: float
    high: float
    median: str


@dataclass(frozen=True)
class Rate:
    """A rate: width of its bar, and as text."""

    width: float
    text: str


@dataclass(frozen=True)
class Plot:
    """The plots of one definition."""

    window: WindowFacts
    boxes: tuple[Box | None, Box | None]
    """Current and previous window."""
    rates: tuple[Rate | None, Rate | None]


@dataclass(frozen=True)
class Bar:
    """An audit in the trend: its position, and severity, top and height of each part."""

    point: Point
    x: int
    parts: tuple[tuple[str, float, float], ...]

    @property
    def total(self) -> int:
        """Its open findings."""
        return sum(self.point.counts.values())


def trend_of(points: Sequence[Point]) -> list[Bar]:
    """The bars of the trend, on one scale, the most severe findings at the bottom. One audit is no trend."""
    most = max((sum(point.counts.values()) for point in points), default=0) or 1
    return [_bar(point, number, TREND_HEIGHT / most) for number, point in enumerate(points)] if len(points) > 1 else []


def _bar(point: Point, number: int, scale: float) -> Bar:
    parts, top = [], float(TREND_HEIGHT)
    for severity in reversed(Severity):
        height = round(point.counts.get(str(severity), 0) * scale, 1)
        if height:
            top = round(top - height, 1)
            parts.append((str(severity), top, height))
    return Bar(point, number * (BAR + BAR_GAP), tuple(parts))


def plots_of(windows: Sequence[WindowFacts]) -> list[Plot]:
    """Definitions with the most failures first, then those with the most executions."""
    ran = [window for window in windows if window.current.total]
    ran.sort(key=lambda window: (-window.current.failed, -window.current.total, window.definition.name))
    return [_plot(window) for window in ran[:MAX_PLOTTED]]


def _plot(window: WindowFacts) -> Plot:
    windows = (window.current, window.previous)
    spreads = [_spread(counted.durations) for counted in windows]
    longest = max((spread[-1] for spread in spreads if spread), default=0.0) or 1.0
    now, before = (_box(spread, WIDTH / longest) for spread in spreads)
    return Plot(window, (now, before), (_rate(windows[0]), _rate(windows[1])))


def _spread(durations: Sequence[float]) -> list[float]:
    if not durations:
        return []
    if len(durations) == 1:
        return [durations[0]] * 5
    twentieths = quantiles(durations, n=20, method="inclusive")
    return [twentieths[position] for position in (0, 4, 9, 14, 18)]


def _box(spread: list[float], scale: float) -> Box | None:
    if not spread:
        return None
    low, first, middle, third, high = (round(value * scale, 1) for value in spread)
    return Box(low, first, middle, third, high, readable_duration(spread[2]))


def _rate(counted: WindowCounts) -> Rate | None:
    if not counted.ended:
        return None
    share = counted.failed / counted.ended
    percent = "<1" if 0 < share < 0.01 else f"{share:.0%}".rstrip("%")
    return Rate(round(share * WIDTH, 1), f"{percent} %")


def readable_duration(seconds: float) -> str:
    """A duration in readable form: its two largest units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for name, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
