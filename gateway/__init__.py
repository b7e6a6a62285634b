"""Readings to movements, movements to the ledger, the ledger to the back office and to people."""

VERSION = "0.1.0"  # of the distribution, too: asking that for its version costs a process two megabytes
