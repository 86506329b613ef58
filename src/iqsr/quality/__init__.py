"""Image-quality metrics: one file per metric, each a pure function with a thin module around it."""
