"""Architectures in words, for people."""
