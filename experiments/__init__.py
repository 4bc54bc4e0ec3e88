"""What to run, the run itself, training, and the command line."""
