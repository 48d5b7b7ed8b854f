"""Slow, plain-Python versions of the compiled modules, written from the RFC alone: the oracle of the tests."""
