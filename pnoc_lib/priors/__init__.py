"""CAM generating networks: equations, strategies, training, inference (Sections 2 and 3)."""
