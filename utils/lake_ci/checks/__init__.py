"""The checks of each job, in one folder per job."""
