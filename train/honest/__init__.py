"""Figures beyond accuracy, and pictures of what a network does.

`explanations` names the methods of `zoo.explain` for commands, `maps` draws what they find.
"""
