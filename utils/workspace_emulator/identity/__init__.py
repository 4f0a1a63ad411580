"""The caller's identity: tokens, the permissions to use tokens, and the SCIM endpoint
Me.
"""
