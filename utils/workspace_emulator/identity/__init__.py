"""Who calls: tokens, the permissions on them, and SCIM's Me."""
