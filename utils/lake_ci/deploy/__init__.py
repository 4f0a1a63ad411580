"""Deploys the wheel to a workspace, completely or not at all.

`nox -s deploy` runs this package as `python -m lake_ci.deploy`.
"""
