"""Files that appear whole, locks, downloads, weight files."""
