"""What every folder may use: errors, files, names, the record of a run, devices, grids.

It imports nothing heavy.
"""
