"""The caller's identity: tokens, the permissions on them, and the SCIM endpoint Me."""
