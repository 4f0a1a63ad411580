"""Libraries of clusters: `/api/2.0/libraries`."""
