"""What an image costs: time, memory, parameters; a stage between the images and their scores."""
