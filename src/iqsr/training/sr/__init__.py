"""Training and fine-tuning of super-resolution networks, guided by quality: recipe, batches, objective, loop."""
