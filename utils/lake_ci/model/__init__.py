"""Jobs, events and results: what all of the suite speaks of."""
