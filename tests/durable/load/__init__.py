"""Durable runs under load, kills, outages and cuts: `python -m tests.durable.load`."""
