"""The program `zoo`: `main.py`, one file per command, and beside them what commands share."""
