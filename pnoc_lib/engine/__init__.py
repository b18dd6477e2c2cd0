"""What every training shares: loop, checkpoints, order, schedules, backbones."""
