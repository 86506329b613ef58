"""Scores of pictures, in files or in memory: all metrics in one pass, cached by content.

>>> from iqsr.scoring import score_files
>>> score_files(["results/"], ["psnr", "stlpips"], reference=Path("originals"))
"""

from iqsr.scoring.cache import (
    CacheKey,
    ScoreCache,
    content_hash,
    default_cache,
    metric_fingerprint,
    writable_default_cache,
)
from iqsr.scoring.files import score_files
from iqsr.scoring.metric_set import MetricSet, default_metrics, score_pictures
from iqsr.scoring.table import Summary, summaries, write_table
from iqsr.scoring.tasks import PictureScores

__all__ = [
    "CacheKey",
    "MetricSet",
    "PictureScores",
    "ScoreCache",
    "Summary",
    "content_hash",
    "default_cache",
    "default_metrics",
    "metric_fingerprint",
    "score_files",
    "score_pictures",
    "summaries",
    "writable_default_cache",
    "write_table",
]
