"""Convolutions that are faster than torch's own on CPUs: Winograd's, those of dense blocks, fused ones."""
