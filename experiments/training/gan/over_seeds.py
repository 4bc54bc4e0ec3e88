"""Where ``gandiff.experiments.training.over_seeds`` was: the old command still works."""

import runpy

if __name__ == "__main__":
    runpy.run_module("gandiff.experiments.training.over_seeds", run_name="__main__")
