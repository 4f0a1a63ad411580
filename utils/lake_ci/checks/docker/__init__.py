"""The images: built, compared, looked into, put to work."""
