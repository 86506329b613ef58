"""Ways to run a model: exact streaming, tiles, OpenVINO, int8; and the choice among them."""
