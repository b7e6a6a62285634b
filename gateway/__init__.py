"""Readings to movements, movements to the ledger, the ledger to the back office and to people."""
