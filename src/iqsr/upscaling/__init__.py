"""Enlarging pictures: `Upscaler`, batches of files, target sizes."""
