"""How honest forecasts of new items are: python bench/forecast_cold_start.py DATA_DIR [...]

Items whose first sale falls into the year before the first scoring origin, and at least 120 days after the records
begin; a profile knows only the days before the look. A ledger that books no deliveries: an item begins with its first
sale. Looked at before it (nothing is known but the category; the days after that sale are scored) and up to four weeks
later: pinball loss in units and coverage of the next 14 days, with the cold start and without it.

New items are rare in some sets. So, second, a fifth of the old items are held out and pretended to be new: all that the
shop knows of them are the last 0, 3, 7, 14 or 21 days; a profile knows only the other four fifths.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.backtest import launched, read_bench
from models.cold_start import COLD_DAYS, Start, forecast_of, profile_of, start_of, warmed
from models.learn import Calibration, Model, blend, look_ahead
from models.panel import Panel
from models.worker import shipped_model

AHEAD = 14
LOOK_EVERY = 7
PRETENDED_AGES = (0, 3, 7, 14, 21)
OTHERS = 300  # items beside the young ones in a look: the network does not mind how many


def main() -> None:
    model, calibration = shipped_model(), Calibration.default()
    for folder in sys.argv[1:]:
        bench = read_bench(Path(folder))
        panel = launched(bench.panel.seen_at(bench.origins[0]))
        first_sale = (np.nan_to_num(panel.units) > 0).argmax(1)
        units = np.where(np.arange(panel.days) < first_sale[:, None], np.nan, np.nan_to_num(panel.units))
        panel = replace(panel, units=units.astype(np.float32))
        scores: Scores = {}
        for last in range(max(120, panel.days - 365), panel.days - AHEAD, LOOK_EVERY):
            age = last + 1 - first_sale
            young = np.flatnonzero((first_sale >= 120) & (age > 1 - AHEAD) & (age <= COLD_DAYS))
            if not len(young):
                continue
            seen = panel.seen_at(last)
            profile = profile_of(_items(seen), seen.first_day.toordinal())
            started = young[age[young] > 0]
            others = np.flatnonzero(first_sale <= last - COLD_DAYS)[:OTHERS]
            some = seen.take(np.concatenate([started, others]))
            pieces = look_ahead(some, model, AHEAD)
            plain = blend(pieces, calibration, model, ())
            groups = [str(group) for group in some.groups]
            warm, _ = warmed(plain, some, start_of(some, profile, groups, pieces.snapshot.level), profile)
            future = panel.units[:, last + 1 : last + 1 + AHEAD]
            for place, row in enumerate(started):
                when = max(1, age[row] // 7 * 7)
                _score(scores, when, "cold start", warm.quantiles[place], future[row])
                _score(scores, when, "without", plain.quantiles[place], future[row])
            weekdays = (seen.first_day.weekday() + seen.days + np.arange(AHEAD)) % 7
            for row in young[age[young] <= 0]:
                rate, cv = profile.of(str(panel.groups[row]))
                new = Start(np.array([rate]), np.array([cv]), *np.zeros((3, 1)))
                quantiles = forecast_of(new, profile, weekdays, ()).quantiles[0]
                skip = 1 - age[row]  # up to the first sale: it is why we look
                _score(scores, -1, "cold start", quantiles[skip:], future[row, skip:])
        _print(f"{bench.name}, new items", scores)
        _print(f"{bench.name}, a fifth held out", held_out(panel, model, calibration))


Scores = dict[tuple[int, str], list[np.ndarray]]


def held_out(panel: Panel, model: Model, calibration: Calibration) -> Scores:
    scores: Scores = {}
    rng = np.random.default_rng(0)
    for last in range(max(150, panel.days - 300), panel.days - AHEAD, 28):
        seen, future = panel.seen_at(last), panel.units[:, last + 1 : last + 1 + AHEAD]
        settled = np.flatnonzero(np.isfinite(seen.units[:, -100:]).all(1) & (seen.units[:, -100:].sum(1) > 0))
        if len(settled) < 50:
            continue
        settled = rng.permutation(settled)[:500]
        held, known = settled[: len(settled) // 5], settled[len(settled) // 5 :]
        profile = profile_of(_items(seen.take(known)), seen.first_day.toordinal())
        for age in PRETENDED_AGES:
            some = seen.take(np.concatenate([held, known[:OTHERS]]))
            units = some.units.copy()
            units[: len(held), : seen.days - age] = np.nan
            some = replace(some, units=units)
            pieces = look_ahead(some, model, AHEAD)
            plain = blend(pieces, calibration, model, ())
            groups = [str(group) for group in some.groups]
            warm, _ = warmed(plain, some, start_of(some, profile, groups, pieces.snapshot.level), profile)
            for place, row in enumerate(held):
                _score(scores, age, "cold start", warm.quantiles[place], future[row])
                if age:
                    _score(scores, age, "without", plain.quantiles[place], future[row])
    return scores


def _print(title: str, scores: Scores) -> None:
    print(f"# {title}")
    for (age, name), found in sorted(scores.items()):
        loss, c90, c95 = np.array(found).mean(0)
        text = "before the first sale" if age < 0 else f"from {age} days of its own"
        print(f"{text:23} {name:11} {len(found):5} looks: loss {loss:.3f}, q.9 {c90:.3f}, q.95 {c95:.3f}")


def _items(panel: Panel) -> list[tuple[str, int, np.ndarray]]:
    first = panel.first_day.toordinal()
    found = []
    for row in range(len(panel.keys)):
        units = panel.units[row]
        start = int(np.isfinite(units).argmax())
        found.append((str(panel.groups[row]), first + start, units[start:]))
    return found


def _score(scores: dict, age: int, name: str, quantiles: np.ndarray, y: np.ndarray) -> None:
    fine = np.isfinite(y)
    if not fine.any():
        return
    y, q = y[fine], quantiles[fine]
    levels = np.array([0.5, 0.9, 0.95])
    error = y[:, None] - q[:, 1:4]
    loss = np.maximum(levels * error, (levels - 1) * error).mean()
    scores.setdefault((age, name), []).append(np.array([loss, (y <= q[:, 2]).mean(), (y <= q[:, 3]).mean()]))


if __name__ == "__main__":
    main()
