"""Files that are written whole or not at all, locks, downloads, weight files."""
