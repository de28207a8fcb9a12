"""One request to the service, and what its answer means."""
