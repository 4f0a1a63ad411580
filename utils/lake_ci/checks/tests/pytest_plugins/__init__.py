"""Plugins that the suite gives to pytest; they run on the Python of the tests and
import nothing of lake_ci.
"""
