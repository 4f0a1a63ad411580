"""The APIs for the identity of the caller: tokens, permissions to use tokens, and SCIM
Me.
"""
