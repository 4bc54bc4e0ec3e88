"""What the trainings of all generators share: the contract, ticks, alarms, near training images."""
