"""Networks of torch as baselines: their batches, layers, losses and optimisation, and the loop that trains them all."""
