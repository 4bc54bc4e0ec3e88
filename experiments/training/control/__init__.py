"""Training of ControlNets for a small diffusion model, on scenes."""
