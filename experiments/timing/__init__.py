"""What a generator costs: time, memory, parameters, training."""
