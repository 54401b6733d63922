"""Training in several processes: the process group, gradients, batch norm."""
