"""A results file: its records, its rows, and how it is downloaded."""
