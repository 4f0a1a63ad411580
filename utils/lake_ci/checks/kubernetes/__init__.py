"""Checks the Kubernetes manifests: YAML, schemas, dry-runs and rules."""
