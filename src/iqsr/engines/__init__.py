"""The ways to run a model: exact streaming, tiles, OpenVINO, int8. `choice` chooses among them."""
