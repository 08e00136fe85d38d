"""Inputs that mislead a network: pure functions of (loss, inputs, key)."""

from zoo.attack.pgd import pgd

__all__ = ["pgd"]
