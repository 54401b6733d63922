"""Training: engine, loader, augmentation, losses, pool, mixture, schedule, checkpoint."""
