"""Durable runs, on SQLite and on a PostgreSQL that the tests start."""
