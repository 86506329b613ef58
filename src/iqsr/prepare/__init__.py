"""Sets of ground truths from plain photos, without any person: enhanced versions, patches, an index of scores.

>>> from iqsr.prepare import PrepareRecipe, prepare
>>> prepare(["photos/"], Path("sets"), PrepareRecipe())
"""

from iqsr.prepare.enhance import Enhancers, Redrawer, load_enhancer
from iqsr.prepare.make import Summary, prepare
from iqsr.prepare.patches import is_textured, places
from iqsr.prepare.recipe import EnhancerRecipe, GeneratorEnhancer, PatchRecipe, PrepareRecipe, UnsharpEnhancer
from iqsr.prepare.workers import Outcome

__all__ = [
    "EnhancerRecipe",
    "Enhancers",
    "GeneratorEnhancer",
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
