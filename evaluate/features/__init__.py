"""Images to features: encoders by name, decoding, and the cache that keeps what was encoded."""
