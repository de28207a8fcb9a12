"""Measures what the package costs and how well it waits. Each module prints its tables."""
