"""Jobs, events and results: the data types that the whole suite uses."""
