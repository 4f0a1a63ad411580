"""Jobs and runs of jobs: `/api/2.0/jobs` to `/api/2.2/jobs`."""
