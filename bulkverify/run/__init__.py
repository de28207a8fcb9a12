"""The whole job in one call: from a list of any size to a verdict behind every row."""
