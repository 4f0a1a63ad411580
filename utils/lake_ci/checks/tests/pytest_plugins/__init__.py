"""Contains pytest plugins. They run on the Python of the tests, without lake_ci."""
