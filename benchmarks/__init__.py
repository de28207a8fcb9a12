"""What this package costs and how well it waits, measured: each module prints its tables."""
