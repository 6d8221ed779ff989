"""Sequential recommendation: SASRec with a contrastive term on two augmented views of a user's sequence."""

from suite.benchmarks.recommendation.task import SequentialRecommendation

__all__ = ["SequentialRecommendation"]
