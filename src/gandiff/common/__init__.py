"""What every folder may use: errors, files, names, devices, grids; imports nothing heavy."""
