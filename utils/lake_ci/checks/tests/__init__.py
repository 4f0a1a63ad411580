"""pytest, coverage, and the Java that the tests run on."""
