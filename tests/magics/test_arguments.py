"""One reading of every magic's line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perijove.magics.arguments import Command, UsageError, split, typed
from perijove.options import Option, or_none, seconds, whole

RUN = Command(
    "%job run NAME [--param NAME=VALUE ...] [--version N] [--wait]",
    words=(1, 1),
    flags={"--param": dict, "--version": int, "--rate": float, "--note": str, "--wait": bool},
)


@pytest.mark.parametrize(
    ("line", "words", "flags"),
    [
        ("tutorial", ["tutorial"], {}),
        ("--wait tutorial", ["tutorial"], {"--wait": True}),
        ("t --param C=2.0 --param n=3", ["t"], {"--param": {"C": 2.0, "n": 3}}),
        ("t --param=C=2.0", ["t"], {"--param": {"C": 2.0}}),
        ("t --version 3 --rate=1e-3", ["t"], {"--version": 3, "--rate": 0.001}),
        ('t --note "two words"', ["t"], {"--note": "two words"}),
        ("'two words'", ["two words"], {}),
        ("t --param names=['a', 'b']", ["t"], {"--param": {"names": ["a", "b"]}}),
        ("t --param \"names=['a', 'b']\"", ["t"], {"--param": {"names": ["a", "b"]}}),
        ("t --param d={'a': 1}", ["t"], {"--param": {"d": {"a": 1}}}),
        (
            't --param day=2026-01-02 --param v="0.5"',
            ["t"],
            {"--param": {"day": "2026-01-02", "v": "0.5"}},
        ),
        ("t --param x=None --param y=True", ["t"], {"--param": {"x": None, "y": True}}),
        ("t --param x=-1 --param y=a=b", ["t"], {"--param": {"x": -1, "y": "a=b"}}),
    ],
)
def test_words_and_flags_are_read_with_their_types(line, words, flags):
    nothing = {"--param": {}, "--version": None, "--rate": None, "--note": None, "--wait": False}
    read = RUN.parse(line)
    assert (read.words, read.flags) == (words, {**nothing, **flags})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("t --parm C=1", "There is no flag --parm. Did you mean --param? Usage: %job run NAME"),
        ("", "Something is missing."),
        ("a b", "'b' is one word too many."),
        ("t --version", "--version needs a value."),
        ("t --version --wait", "--version needs a value."),
        ("t --version x", "--version must be a whole number, not 'x'."),
        ("t --rate x", "--rate must be a number, not 'x'."),
        ("t --wait=yes", "--wait takes no value."),
        ("t --param C", "'C' is not NAME=VALUE."),
        ("t --param 1=2", "'1=2' is not NAME=VALUE."),
        ("t --param C=1 --param C=2", "'C' is given twice."),
        ("t --param C={C}", "{C} could not be evaluated; is everything in it defined?"),
        ("t --note 'x", "a ' is never closed."),
        ("t --param x=[1", "a ']' is missing."),
    ],
)
def test_a_wrong_line_says_what_is_wrong_and_how_to_call_it(line, said):
    with pytest.raises(UsageError) as error:
        RUN.parse(line)
    assert said in str(error.value)
    assert "Usage: %job run NAME" in str(error.value)
    assert "\n" not in str(error.value)


def test_pairs_may_stand_in_the_line_itself():
    metric = Command("%metric NAME=VALUE", flags={"--step": int}, pairs=True)
    read = metric.parse("auc=0.99 loss=1e-3 --step 4")
    assert (read.pairs, read["--step"]) == ({"auc": 0.99, "loss": 0.001}, 4)


def test_two_readings_share_nothing():
    RUN.parse("t --param a=1")
    assert RUN.parse("t")["--param"] == {}


@given(st.text(max_size=60))
def test_any_line_is_read_or_refused(line):
    try:
        assert all(token.strip() for token in split(line))
    except ValueError as error:
        assert "closed" in str(error) or "missing" in str(error)


@given(st.one_of(st.integers(), st.booleans(), st.none(), st.text(), st.lists(st.integers())))
def test_a_value_written_as_python_writes_it_comes_back(value):
    assert typed(repr(value)) == value


WITH_OPTIONS = Command(
    "%job edit NAME [--every 6h] [--input FILE ...]",
    words=(1, 1),
    flags={"--unschedule": bool},
    options=[
        Option("every", "In real time.", seconds),
        Option("input", "A file.", many=True),
        Option("keep_days", "Days.", or_none(whole)),
    ],
)


def test_options_are_read_as_the_command_line_reads_them():
    given = WITH_OPTIONS.parse("t --every 6h --input 'a b.csv' --input c.csv --keep-days none")
    assert given.options == {"every": 21_600, "input": ["a b.csv", "c.csv"], "keep_days": "none"}
    assert WITH_OPTIONS.parse("t").options == {}
    assert WITH_OPTIONS.flags == {"--unschedule", "--every", "--input", "--keep-days"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("t --every soon", "--every must be a duration such as 90s, 15m, 6h or 2d, not 'soon'."),
        ("t --keep-days x", "--keep-days must be a whole number, or none, not 'x'."),
        ("t --keep-day 3", "Did you mean --keep-days?"),
        ("t --every", "--every needs a value."),
    ],
)
def test_a_wrong_option_is_named(line, message):
    with pytest.raises(UsageError) as error:
        WITH_OPTIONS.parse(line)
    assert message in str(error.value)
