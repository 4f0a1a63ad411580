"""Access to the files of a lake, and to the Delta logs of its tables."""
