"""Other engines that run a generator's network in place of torch."""
