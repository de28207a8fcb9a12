"""Every pair of mishaps in two requests in a row, and a kill at every file operation."""
