"""Results go in, documents come out; nothing here imports torch or a generator."""
