"""Scenes of coloured shapes: their facts, captions, pictures and the prompt suite made of them."""
