"""What every training needs: the loop, its checkpoints, log, running average, folder and settings."""
