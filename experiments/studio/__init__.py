"""A page on this machine to try models on, with the command that repeats each of its pictures."""
