"""The first comparison of somebody who has models, prompts or folders of images."""
