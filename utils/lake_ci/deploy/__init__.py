"""Deploys the wheel to a workspace, whole or not at all: `python -m lake_ci.deploy`,
run by `nox -s deploy`.
"""
