"""A companion to the P-NOC paper: weakly supervised semantic segmentation, one module an idea."""

__version__ = "0.1.0"
