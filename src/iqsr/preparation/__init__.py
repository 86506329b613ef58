"""Sets of ground truths from plain photos, without any person: enhanced versions, patches, an index of scores.

>>> from iqsr.preparation import PrepareRecipe, prepare
>>> prepare(["photos/"], Path("sets"), PrepareRecipe())
"""

from iqsr.preparation.enhance import Enhancers, Redrawer, load_enhancer
from iqsr.preparation.make import Summary, prepare
from iqsr.preparation.patches import is_textured, places
from iqsr.preparation.recipe import EnhancerRecipe, ModelEnhancer, PatchRecipe, PrepareRecipe, UnsharpEnhancer
from iqsr.preparation.workers import Outcome

__all__ = [
    "EnhancerRecipe",
    "Enhancers",
    "ModelEnhancer",
    "Outcome",
    "PatchRecipe",
    "PrepareRecipe",
    "Redrawer",
    "Summary",
    "UnsharpEnhancer",
    "is_textured",
    "load_enhancer",
    "places",
    "prepare",
]
