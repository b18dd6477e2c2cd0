"""Images, labels and masks: what training and scoring see, and the stores between stages."""
