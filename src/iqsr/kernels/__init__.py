"""Convolutions that are faster than torch's own on CPUs.

| module | what it computes | used by |
|---|---|---|
| `winograd` | matrices and kernels of Winograd's F(4x4, 3x3) | the three below |
| `winograd_tiling` | pictures as Winograd tiles, and their transforms | streaming, dense blocks |
| `frozen_conv` | a frozen convolution by Winograd, with the gradient of its input | the perceptual term |
| `dense_block`, `dense_pass` | RRDBNet's dense block with LoRA, by Winograd | training |
| `composed_layer`, `adapted_layer` | one layer with LoRA as one convolution | training |
| `fused_convolution` | oneDNN's convolution with activation or addition | streaming |
| `stacks` | which convolutions read fronts of one list of values | streaming |

A *Winograd tile* is 4x4 pixels. The tiles of 256 pixels in `iqsr.engines.tiling` are something else.
"""
