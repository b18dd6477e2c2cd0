"""The paper's own numbers, recomputed."""
