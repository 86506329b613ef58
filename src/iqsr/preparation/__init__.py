"""Sets of ground truths from photos without people's labels: enhanced versions, patches, an index of scores.

>>> from iqsr.preparation import PrepareRecipe, prepare
>>> prepare(["photos/"], Path("sets"), PrepareRecipe())
"""

from iqsr.preparation.enhance import Enhancers, SameSizeEnhancer, load_enhancer
from iqsr.preparation.make import Summary, prepare
from iqsr.preparation.patches import is_textured, patch_positions
from iqsr.preparation.recipe import EnhancerRecipe, ModelEnhancer, PatchRecipe, PrepareRecipe, UnsharpEnhancer
from iqsr.preparation.workers import Outcome

__all__ = [
    "EnhancerRecipe",
    "Enhancers",
    "ModelEnhancer",
    "Outcome",
    "PatchRecipe",
    "PrepareRecipe",
    "SameSizeEnhancer",
    "Summary",
    "UnsharpEnhancer",
    "is_textured",
    "load_enhancer",
    "patch_positions",
    "prepare",
]
