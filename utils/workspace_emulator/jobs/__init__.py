"""Jobs and their runs: the APIs `/api/2.0/jobs`, `/api/2.1/jobs` and
`/api/2.2/jobs`.
"""
