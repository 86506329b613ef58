"""Training: what learns, from what, and the loops."""
