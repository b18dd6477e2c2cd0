"""Segmentation networks trained on index masks (Sections 6.3 and 7.4): DeepLabV2 and DeepLabV3+."""
