"""Lamina beside PyTorch, JAX, NumPy and scikit-learn: ``python benchmarks/run.py``."""
