# SPDX-License-Identifier: MIT
"""Other libraries' functions in their own signatures, computed here.

`compat.scipy.zoom` is `scipy.ndimage.zoom`, `compat.pillow.resize` is `PIL.Image.Image.resize`, `compat.onnx` has the
operators of ONNX that change sizes. The conventions alone, on any array, are presets: `halfpixel.resize(...,
like="pillow.lanczos")`.
"""
