"""From images to tables of results, with intervals and paired differences."""
