"""The checks of each job, one folder a job."""
