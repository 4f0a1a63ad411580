"""Contains pytest plugins, which run on the tests' Python and do not import lake_ci."""
