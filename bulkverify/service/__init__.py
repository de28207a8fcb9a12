"""Requests to the service, and what its answers mean."""
