# SPDX-License-Identifier: MIT
"""The rules that presets name: kernels, coordinates, windows of weights, arithmetic. One file per library.

A preset is a row of names (`halfpixel.presets.TABLE`); each name is looked up in a table of functions here, and
`builder.Preset` calls them one after the other:

    coord_rule   Line -> (step, centres)             where the library samples, in its own floating-point type
    weight_rule  Line, step, centres -> windows      first tap and weights, as if the input had no end
    round_rule   dtype -> Variant                    how windows become links, and what the passes compute in
    pass_order, skip_rule, size_rule, route          the rest of a plan

A new convention is a row of names; a new behaviour is a new function under a new name.
"""
