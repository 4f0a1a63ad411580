"""An example project: the flights of New York in 2013."""
