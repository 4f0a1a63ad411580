"""Checks of the Kubernetes manifests: YAML, schemas, dry-runs and rules."""
