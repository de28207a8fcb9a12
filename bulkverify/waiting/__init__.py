"""Waiting for jobs: when to ask, whom to tell."""
