"""Sampling rules and generation."""
