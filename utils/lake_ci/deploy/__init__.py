"""Deploys the wheel to a workspace, completely or not at all.

`nox -s deploy` runs it as `python -m lake_ci.deploy`.
"""
