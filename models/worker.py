"""The steps of one night: catch up with the ledger, learn, decide who serves, forecast. Each is one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from models import store as db
from models.anomalies import Judged, Screening, candidates, odd_sensor, season_shifts, trend_breaks
from models.backtest import launched
from models.cold_start import is_settled, start_of, warmed
from models.explain import RecentError, pieces_of
from models.factors import (
    PRICE,
    Effect,
    Factor,
    applied,
    choose,
    lift,
    pack_effects,
    read_factors,
    said,
    unpack_effects,
    unusual,
)
from models.factors import candidates as candidates_of_factors
from models.gate import Trial, better, pack_calibration, trial_of, unpack_calibration
from models.learn import (
    HORIZON_DAYS,
    LEARN_DAYS_MIN,
    Calibration,
    Model,
    Pieces,
    blend,
    learn_with_trial,
    looks,
)
from models.network import GRAPHS, INPUTS, SHIPPED, WINDOW_INPUTS, Graph, fingerprint, forward, pack, unpack
from models.newcomers import REACH_DAYS, WINDOWS, Newcomers, sisters_of
from models.panel import Floats, Panel
from models.progress import Progress
from models.series import (
    SAME_PRICE,
    DayRow,
    Event,
    Series,
    ledger_events,
    panel_of,
    read_only,
    sensor_days,
    sold_days,
    sold_prices,
)
from models.staging import Night

BLOCK_ITEMS = 500
LEARN_ITEMS_MAX = 1500  # one network serves all items: a larger shop learns from an even sample of them
FORECAST_DAYS = 28
LOOK_BACK_DAYS = 14  # a champion is judged again when it has served for so long
LOOK_BACK_DAYS_MIN = 35  # items younger than this have no honest error yet


@dataclass(frozen=True, slots=True)
class Shop:
    """What the worker is told about the shop."""

    zone: ZoneInfo
    country: str | None = None
    subdivision: str | None = None
    seed: int = 0
    telemetry: Path | None = None  # where the thermometers' samples are


def catch_up(store: sqlite3.Connection, ledger: sqlite3.Connection, shop: Shop) -> int:
    """Book the movements since the last night into `demand`; the number of item-days that changed."""
    newest, epoch = ledger.execute(
        "SELECT coalesce(max(seq), 0), coalesce(max(epoch), 0) FROM movement"
    ).fetchone()
    last_seq = int(db.get_state(store, "last_seq", "0"))
    with db.transaction(store):
        if newest < last_seq or db.get_state(store, "zone", shop.zone.key) != shop.zone.key:
            for table in ("demand", "price"):
                store.execute(
                    f"DELETE FROM {table}"
                )  # another ledger, or other days: read it again from the start
            last_seq = 0
        changed = 0
        rows = sold_days(ledger, last_seq, newest, shop.zone)
        for sku, days in groupby(rows, key=lambda row: row.sku):
            booked: list[DayRow] = list(days)
            changed += len(booked)
            db.put_series(store, db.read_one_series(store, sku).with_days(booked))
        db.put_prices(store, sold_prices(ledger, last_seq, newest))
        for name, value in (("last_seq", newest), ("epoch", epoch), ("zone", shop.zone.key)):
            db.put_state(store, name, value)
    return changed


def catch_up_sensors(store: sqlite3.Connection, telemetry_path: Path, shop: Shop, through: date) -> None:
    """Keep the daily means of the thermometers: telemetry forgets its samples after a month."""
    try:
        telemetry = read_only(telemetry_path)
    except sqlite3.OperationalError:
        return  # there is none yet, or it was deleted: it may be
    with closing(telemetry):
        (newest,) = store.execute("SELECT max(day) FROM sensor_day").fetchone()
        from_day = date.fromisoformat(newest) if newest else through - timedelta(days=40)
        try:
            found = sensor_days(telemetry, from_day, through, shop.zone)
        except sqlite3.DatabaseError:
            return  # just being made, or damaged
    with db.transaction(store):
        store.executemany(
            "INSERT OR REPLACE INTO sensor_day VALUES (?, ?, ?)",
            ((*key, value) for key, value in found.items()),
        )


def prices_of(
    store: sqlite3.Connection, ledger: sqlite3.Connection, events: list[Event], through: date
) -> dict[str, list[tuple[int, float]]]:
    """Every change of an item's price: what the till took, what the item costs from tomorrow on, what is planned."""
    found: dict[str, list[tuple[int, float]]] = {}
    for sku, day, minor in store.execute("SELECT sku, day, minor FROM price ORDER BY sku, day"):
        found.setdefault(sku, []).append((day, minor))
    tomorrow = through.toordinal() + 1
    per = {
        sku: (
            minor,
            1 if unit == "piece" else 1000,
        )  # a price is per kg or litre, the till's per gram or millilitre
        for sku, unit, minor in ledger.execute(
            "SELECT sku, unit, price_minor FROM item WHERE price_minor > 0"
        )
    }
    for sku, (minor, units) in per.items():
        if sku in found and abs(np.log(minor / units / found[sku][-1][1])) > SAME_PRICE:
            found[sku].append((tomorrow, minor / units))
    for event in events:
        if event.kind == "price" and event.price_minor and event.sku in found and event.sku in per:
            minor, units = per[event.sku]
            found[event.sku] += [
                (event.starts_on.toordinal(), event.price_minor / units),
                (event.ends_on.toordinal() + 1, minor / units),
            ]
    return {sku: sorted(changes) for sku, changes in found.items()}


def learn_factors(store: sqlite3.Connection, ledger: sqlite3.Connection, shop: Shop, through: date) -> None:
    """Try every factor anew, keep its effect, and write down which was switched on or off and why."""
    before = {effect.name: effect for effect in unpack_effects(db.get_state(store, "effects"))}
    factors = read_factors(ledger, store)
    prices = prices_of(store, ledger, ledger_events(ledger), through)
    effects: list[Effect] = []
    if factors or any(len(changes) > 1 for changes in prices.values()):
        panel = sample_panel(store, ledger, shop, through)
        if panel is not None:
            on = {name for name, effect in before.items() if effect.on}
            effects = choose(panel, candidates_of_factors(panel, factors, prices, on))
    with db.transaction(store):
        db.put_state(store, "effects", pack_effects(effects))
        for effect in effects:
            was_on = effect.name in before and before[effect.name].on
            if effect.on != was_on:
                action = "factor on" if effect.on else "factor off"
                db.decide(store, through, action, effect.name, said(effect, was_on))


def blocks(
    store: sqlite3.Connection,
    ledger: sqlite3.Connection,
    shop: Shop,
    through: date,
    items: int,
    after_sku: str = "",
) -> Iterator[tuple[str, Panel]]:
    """The shop after `after_sku` in blocks of items, each with its last key, so that memory does not grow with it."""
    categories = _categories(ledger)
    events = ledger_events(ledger)
    waiting: list[Series] = []
    for series in db.read_series(store):
        if series.sku <= after_sku:
            continue
        waiting.append(series)
        if len(waiting) == items:
            yield from _block(waiting, categories, events, through, shop)
            waiting = []
    yield from _block(waiting, categories, events, through, shop)


def _block(
    series: list[Series], categories: dict[str, str], events: list[Event], through: date, shop: Shop
) -> Iterator[tuple[str, Panel]]:
    for panel in _panels(series, categories, events, through, shop):
        yield series[-1].sku, panel


def _panels(
    series: list[Series], categories: dict[str, str], events: list[Event], through: date, shop: Shop
) -> Iterator[Panel]:
    panel = panel_of(series, categories, events, through, shop.country, shop.subdivision)
    panel = launched(panel)
    if panel.keys:
        yield panel


def _categories(ledger: sqlite3.Connection) -> dict[str, str]:
    return dict(ledger.execute("SELECT sku, category FROM item").fetchall())


def sample_panel(
    store: sqlite3.Connection, ledger: sqlite3.Connection, shop: Shop, through: date
) -> Panel | None:
    """The items to learn from: all of a small shop, every n-th of a large one."""
    (count,) = store.execute("SELECT count(*) FROM demand").fetchone()
    every = -(-count // LEARN_ITEMS_MAX) or 1
    series = [item for index, item in enumerate(db.read_series(store)) if index % every == 0]
    found = list(_panels(series, _categories(ledger), ledger_events(ledger), through, shop))
    return found[0] if found else None


def shipped_model(path: Path = SHIPPED) -> Model | None:
    """None when the file is damaged or belongs to another version."""
    try:
        return usable_model(path.read_bytes(), "shipped")
    except (OSError, ValueError):
        return None


def usable_model(blob: bytes, version: str) -> Model:
    """The networks, tried on one row. Raises ValueError where they are damaged or of another version."""
    nets = unpack(blob)
    try:
        for net, inputs in (("day", INPUTS), ("window", WINDOW_INPUTS)):
            forward(nets[net], np.zeros((1, inputs), np.float32))
        return Model(nets["day"], nets["window"], version)
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"weights of another version ({error})") from error


@dataclass(frozen=True, slots=True)
class Serving:
    """Who forecasts tonight: a model with its calibration, or the simple rule and why."""

    model: Model | None
    calibration: Calibration
    why: str


def serving(store: sqlite3.Connection) -> Serving:
    """The champion; else the last good version; else the shipped weights; else the simple rule."""
    trouble = ""
    rows = db.models(store, "champion") + db.models(store, "retired")
    for row in rows:
        try:
            model, calibration = usable_model(row.weights, row.version), unpack_calibration(row.calibration)
            return Serving(model, calibration, f"model {row.version}{trouble}")
        except ValueError as error:
            trouble += f"; {row.version} is damaged ({error})"
    shipped = shipped_model()
    if shipped is not None:
        return Serving(shipped, Calibration.default(), f"model shipped{trouble}")
    return Serving(None, Calibration.default(), f"simple rule: the shipped model file is not usable{trouble}")


def learn_tonight(
    store: sqlite3.Connection, ledger: sqlite3.Connection, shop: Shop, through: date, progress: Progress
) -> str:
    """Make a challenger, compare it on days that neither has seen, and write down what was decided and why."""
    panel = sample_panel(store, ledger, shop, through)
    shipped = shipped_model()
    if panel is None or shipped is None:
        why = "no items with a sale yet" if panel is None else "the shipped model file is not usable"
        return _say(store, through, "kept", "-", f"nothing to learn: {why}")
    if panel.days < LEARN_DAYS_MIN:
        return _say(
            store,
            through,
            "kept",
            "shipped",
            f"{panel.days} days of history; learning starts at {LEARN_DAYS_MIN}",
        )
    trial_model, final, calibration = learn_with_trial(panel, shipped, shop.seed, progress.at)
    challenger = trial_of(panel, trial_model, calibration)
    champions = db.models(store, "champion")
    rival_name, rival = "shipped", trial_of(panel, shipped, calibration)
    if champions:
        try:
            old, old_calibration = (
                usable_model(champions[0].trial, "trial"),
                unpack_calibration(champions[0].calibration),
            )
            rival_name, rival = champions[0].version, trial_of(panel, old, old_calibration)
        except ValueError:
            rival_name = "shipped (the champion is damaged)"
    blob = pack({"day": final.day, "window": final.window})
    version = f"{through.isoformat()}-{fingerprint(blob)[:6]}"
    if champions and champions[0].version == version:
        return _say(store, through, "kept", version, "the same days taught the same weights")
    wins, why = better(challenger, rival, rival_name)
    row = db.ModelRow(
        version, "challenger", through.isoformat(), challenger.loss, challenger.rule_loss, blob,
        pack({"day": trial_model.day, "window": trial_model.window}), pack_calibration(calibration),
    )  # fmt: skip
    with db.transaction(store):
        db.put_model(store, row)
        db.set_role(store, version, "champion" if wins else "rejected")
        db.decide(store, through, "promoted" if wins else "kept", version if wins else rival_name, why)
    return why


def look_back(store: sqlite3.Connection, ledger: sqlite3.Connection, shop: Shop, through: date) -> str:
    """Roll back when the last 14 days, which the champion had not seen, were better served by the one before."""
    champion, before = db.models(store, "champion"), db.models(store, "retired")
    if (
        not champion
        or not before
        or (through - date.fromisoformat(champion[0].made_on)).days < LOOK_BACK_DAYS
    ):
        return ""
    panel = sample_panel(store, ledger, shop, through)
    if panel is None:
        return ""
    trials: list[Trial] = []
    for row in (champion[0], before[0]):
        try:
            model, calibration = usable_model(row.weights, row.version), unpack_calibration(row.calibration)
        except ValueError:
            return ""  # `serving` passes it over and says so
        trials.append(trial_of(panel, model, calibration, LOOK_BACK_DAYS))
    if trials[1].loss >= trials[0].loss * 0.98:
        return ""
    why = f"the last 14 days: {before[0].version} lost {trials[1].loss:.3f}, "
    why += f"{champion[0].version} lost {trials[0].loss:.3f}"
    with db.transaction(store):
        db.set_role(store, before[0].version, "champion")
        db.decide(store, through, "rolled back", before[0].version, why)
    return why


def _say(store: sqlite3.Connection, day: date, action: str, version: str, why: str) -> str:
    with db.transaction(store):
        db.decide(store, day, action, version, why)
    return why


def one_night(
    store: sqlite3.Connection,
    ledger: sqlite3.Connection,
    shop: Shop,
    through: date,
    progress: Progress,
    block_items: int = BLOCK_ITEMS,
) -> Iterator[str]:
    """Catch up, look back, learn, forecast; what was decided, in words. A night that was cut off goes on."""
    progress.stage("catch_up")
    catch_up(store, ledger, shop)
    if shop.telemetry:
        catch_up_sensors(store, shop.telemetry, shop, through)
    progress.stage("learn")
    taught = f"{through} {db.get_state(store, 'last_seq')} {shop.seed}"
    if db.get_state(store, "taught") != taught:
        if back := look_back(store, ledger, shop, through):
            yield f"rolled back: {back}"
        yield learn_tonight(store, ledger, shop, through, progress)
        learn_factors(store, ledger, shop, through)
        with db.transaction(store):
            db.put_state(store, "taught", taught)
    items = forecast_tonight(store, ledger, shop, through, progress, block_items)
    with db.transaction(store):
        store.execute("DELETE FROM state WHERE name = 'taught'")  # asked again, it learns again
    yield f"{items} items forecast from {through}"


def forecast_tonight(
    store: sqlite3.Connection,
    ledger: sqlite3.Connection,
    shop: Shop,
    through: date,
    progress: Progress,
    block_items: int = BLOCK_ITEMS,
) -> int:
    """Forecast every item, block by block, and put the whole night in place at once; the number of items."""
    who = serving(store)
    model, calibration = who.model, who.calibration
    day_graph = Graph(GRAPHS / "demand.onnx", INPUTS) if model else None
    sum_graph = Graph(GRAPHS / "sums.onnx", WINDOW_INPUTS) if model else None
    version = model.version if model else "simple rule"
    (count,) = store.execute("SELECT count(*) FROM demand").fetchone()
    effects, factors = unpack_effects(db.get_state(store, "effects")), read_factors(ledger, store)
    events = ledger_events(ledger)
    prices = (
        prices_of(store, ledger, events, through) if any(e.on and e.name == PRICE for e in effects) else {}
    )
    known = fingerprint(
        repr((events, effects, sisters_of(ledger), [(f.name, f.values.tobytes()) for f in factors])).encode()
    )
    categories = _categories(ledger)
    newcomers = Newcomers(store, ledger, categories, through)
    place = (shop.zone.key, shop.country, shop.subdivision, shop.seed)
    night = Night(
        store, f"{through} {db.get_state(store, 'last_seq')} {version} {known} {place} {block_items}"
    )
    progress.stage("forecast", night.items / max(count, 1), night.items)
    for last_sku, panel in blocks(store, ledger, shop, through, block_items, night.last_sku):
        views = [(panel.days - 1, REACH_DAYS)]
        if panel.days >= LOOK_BACK_DAYS_MIN:
            views.insert(0, (panel.days - 1 - HORIZON_DAYS, HORIZON_DAYS))
        views_of_panel = looks(panel, model, views, day_graph)
        errors = _look_back(panel, who, next(views_of_panel) if len(views) > 1 else None, night.screening)
        pieces = next(views_of_panel)
        forecast = blend(pieces, calibration, model, WINDOWS, sum_graph)
        lifted = lift(panel, factors, effects, prices, REACH_DAYS)
        notes = list(pieces_of(pieces, forecast, model, day_graph, errors, panel, version, lifted))
        forecast = applied(forecast, lifted.factor) if lifted else forecast
        if not is_settled(panel):
            names = [categories.get(sku, "") for sku in panel.keys]
            start = start_of(panel, newcomers.profile(), names, pieces.snapshot.level, newcomers.sisters)
            forecast, cold = warmed(forecast, panel, start, newcomers.profile())
            notes = [newcomers.note(n, forecast, row) if cold[row] else n for row, n in enumerate(notes)]
        with db.transaction(store):
            db.put_forecast(store, panel.keys, through, FORECAST_DAYS, forecast.mean, forecast.quantiles)
            db.put_sums(store, panel.keys, forecast.sums)
            db.put_notes(store, notes)
            night.block_done(last_sku, len(panel.keys))
        progress.at(night.items / max(count, 1), night.items)
    trouble = "; ".join(graph.trouble for graph in (day_graph, sum_graph) if graph and graph.trouble)
    with db.transaction(store):
        never_sold = newcomers.never_sold(through)
        if never_sold:
            skus, forecast, notes = never_sold
            db.put_forecast(store, skus, through, FORECAST_DAYS, forecast.mean, forecast.quantiles)
            db.put_sums(store, skus, forecast.sums)
            db.put_notes(store, notes)
            night.items += len(skus)
        night.finish()
        night.screening.add(sensor_tests(factors, through))
        db.put_anomalies(store, night.screening.improbable(), through)
        db.put_state(store, "served_by", who.why + (f"; {trouble}" if trouble else ""))
        db.put_state(store, "forecast_day", through.isoformat())
        db.put_state(store, "made_us", time.time_ns() // 1000)
    progress.end()
    return night.items


def sensor_tests(factors: list[Factor], through: date) -> Judged:
    """Yesterday of each thermometer that has a history."""
    found = []
    for factor in factors:
        day = through.toordinal() - factor.first_day
        if factor.kind != "weather" or factor.known_ahead or not 0 <= day < len(factor.values):
            continue
        x, spread = unusual(factor, through.toordinal(), 0)
        if spread and np.isfinite(factor.values[day]):
            found.append(odd_sensor(factor.name, through, float(factor.values[day]), float(x[day]), spread))
    return Judged(len(found), found)


def _look_back(panel: Panel, who: Serving, pieces: Pieces | None, tests: Screening) -> RecentError:
    """The last four weeks forecast from the day before them: how wrong, and what was odd."""
    unknown = np.full(len(panel.keys), np.nan, np.float32)
    if pieces is None:
        return RecentError(unknown, unknown)
    forecast = blend(pieces, who.calibration, who.model, ())
    tests.add(candidates(panel, pieces.snapshot, forecast.mean, forecast.quantiles))
    tests.add(trend_breaks(panel, pieces.snapshot, forecast.mean))
    tests.add(season_shifts(panel, pieces.snapshot))
    past = slice(panel.days - HORIZON_DAYS, panel.days)
    y = np.where(panel.censored[:, past] | ~pieces.snapshot.known[:, None], np.nan, panel.units[:, past])
    days = np.isfinite(y).sum(1)

    def error(mean: Floats) -> Floats:
        total = np.where(np.isfinite(y), np.abs(y - mean), 0).sum(1)
        return np.where(days > 0, total / np.maximum(days, 1), np.nan).astype(np.float32)

    return RecentError(error(forecast.mean), error(forecast.rule_mean))
