"""How good a generator is while it trains, by pictures of validation captions alone."""
