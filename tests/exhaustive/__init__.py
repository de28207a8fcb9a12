"""Every mishap of every request with every mishap of the next, and a kill at every operation on files."""
