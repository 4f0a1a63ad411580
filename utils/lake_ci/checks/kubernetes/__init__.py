"""The manifests: YAML, schemas, a dry-run, and rules."""
