"""Representation of graphs: GRACE contrasts views of every node, GraphCL views of whole graphs."""

from suite.benchmarks.graph.graph_level import GraphClassification
from suite.benchmarks.graph.node_level import NodeClassification

__all__ = ["GraphClassification", "NodeClassification"]
