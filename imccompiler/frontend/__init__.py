"""ONNX in: read safely, bind shapes, normalise, import into the IR, say what is covered."""

from imccompiler.frontend.coverage import Coverage, OperatorCount, coverage_of
from imccompiler.frontend.load import Network, load_onnx

__all__ = ["Coverage", "Network", "OperatorCount", "coverage_of", "load_onnx"]
