# SPDX-License-Identifier: MIT
"""Laws, strategies and cases for testing resamplers: ours, and code that builds on them."""
