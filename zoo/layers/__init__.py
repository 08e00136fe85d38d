"""Layers that two or more families share, one idea per file."""
