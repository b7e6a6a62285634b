"""Demand forecasting: a short-lived, niced worker that reads ledger.db and is the only writer of forecast.db."""
