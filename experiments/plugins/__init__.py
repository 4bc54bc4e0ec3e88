"""Names to objects: what ships with gandiff, what is installed, what is written module:factory."""
