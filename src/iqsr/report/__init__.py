"""Results to look at: pages with before/after sliders and tables, and panels of details."""
