"""What gandiff doctor looks at: versions, devices, weights, known numbers."""
