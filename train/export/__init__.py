"""Networks as programs that need nothing of this project: traced, written, loaded elsewhere."""
