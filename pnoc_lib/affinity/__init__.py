"""From priors to pseudo masks: affinity labels, the network that learns edges from them, random walk (Section 5)."""
