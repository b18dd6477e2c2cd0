"""Saliency without masks: C2AM, C2AM-H and PoolNet (Section 4)."""
