# SPDX-License-Identifier: MIT
"""Networks that live on upsamplers."""
