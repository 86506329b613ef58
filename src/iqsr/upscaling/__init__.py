"""Enlarging pictures: from Python, in batches, to a size."""
