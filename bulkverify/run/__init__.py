"""A whole list in one call: from its rows to a verdict for each of them."""
