"""Contains pytest plugins, which run on the Python of the tests, without lake_ci."""
