# SPDX-License-Identifier: MIT
"""Which reference belongs to which image."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from halfpixel.cli._matching import matches
from halfpixel.cli._paths import Found


def found(*names, folder="d"):
    return [Found(f"{folder}/{name}", PurePath(name)) for name in names]


def pairs(images, references, **options):
    made, unused = matches(found(*images, folder="sr"), found(*references, folder="hr"), **options)
    return {one.source[3:]: (one.reference[3:], one.problem) for one in made}, [name[3:] for name in unused]


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("baby.png", "baby.png"),
        ("baby.png", "baby.bmp"),
        ("babyx4.png", "baby.png"),
        ("baby_x4.png", "baby.png"),
        ("baby-X4.png", "baby.png"),
        ("baby_4x.png", "baby.png"),
        ("babyx4.png", "baby_x1.png"),
        ("0801x12.png", "0801.png"),
        ("a.b_x2.png", "a.b.png"),
        ("deep/baby.png", "baby.png"),
        ("x4.png", "x4.jpg"),
        ("baby_espcn.png", "baby.png"),
        ("_espcn.png", "_espcn.jpg"),
    ],
)
def test_names_that_belong_together(image, reference):
    made, unused = pairs([image], [reference, "other.png"], suffix="_espcn")
    assert made == {image: (reference, None)}
    assert unused == ["other.png"]


@pytest.mark.parametrize("image", ["bab.png", "baby2.png", "baby_srx.png", "babyx4_sr.png", "Baby.png", "x4.png"])
def test_names_that_do_not(image):
    assert pairs([image], ["baby.png", "other.png"])[0] == {image: ("", "no reference has its name")}


def test_the_strictest_rule_wins():
    made, unused = pairs(["a_x2.png", "b/a.png", "c/a.png"], ["a_x2.png", "a.png", "b/a.png", "c/a.png"])
    assert made == {"a_x2.png": ("a_x2.png", None), "b/a.png": ("b/a.png", None), "c/a.png": ("c/a.png", None)}
    assert unused == ["a.png"]


def test_two_references_of_one_name():
    made, _ = pairs(["a.png"], ["b/a.png", "c/a.png"])
    assert made["a.png"] == ("", "several references have its name: hr/b/a.png, hr/c/a.png")
    assert pairs(["a.png"], ["a.png", "a.jpg"])[0]["a.png"][1].startswith("several references")


def test_several_images_of_one_reference():
    made, unused = pairs(["a_x2.png", "a_x4.png"], ["a.png"])
    assert [one[0] for one in made.values()] == ["a.png", "a.png"]
    assert unused == []


def test_one_of_each_belong_together_where_both_were_named():
    assert pairs(["a.png"], ["z.png"], alone=True)[0] == {"a.png": ("z.png", None)}
    assert pairs(["a.png", "b.png"], ["z.png"], alone=True)[0]["a.png"][1] == "no reference has its name"
    assert pairs(["a.png"], ["z.png"])[0]["a.png"][1] == "no reference has its name"


def test_what_cannot_be_found_is_said():
    made, unused = matches([Found("gone", PurePath("gone"), "it holds no image file")], found("a.png"))
    assert (made[0].problem, unused) == ("it holds no image file", ["d/a.png"])
    made, unused = matches(found("a.png"), [Found("gone", PurePath("a.png"), "no file matches")])
    assert (made[0].problem, unused) == ("no reference has its name", [])
