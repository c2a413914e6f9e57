"""What magics show is safe in HTML and readable without it."""

from __future__ import annotations

from perijove.magics.display import Card, Chip, Link, Listing, Status, one_line

EVIL = "<script>alert('x')</script>"


def test_nothing_reaches_html_unescaped():
    shown = [
        Chip(EVIL),
        Link(EVIL, f"http://x/{EVIL}\"'"),
        Link("x", "javascript:alert(1)"),
        Listing([EVIL], [[EVIL], [Chip(EVIL)], [Link(EVIL, EVIL)]], caption=EVIL),
        Listing([], [], empty=EVIL),
        Card(EVIL, {EVIL: EVIL, "state": Chip(EVIL)}, state=EVIL),
    ]
    for item in shown:
        html = item._repr_html_()
        assert "<script" not in html
        assert "javascript:" not in html


def test_a_table_reads_as_text():
    listing = Listing(["job", "state"], [["tutorial", Chip("running")], ["x", None]], caption="2")
    assert repr(listing) == "job       state\ntutorial  running\nx\n2"
    assert repr(Listing(["job"], [], empty="No jobs yet.")) == "No jobs yet."


def test_a_card_leaves_out_what_is_not_known():
    card = Card("tutorial", {"url": "http://x", "why": None}, state="ready")
    assert repr(card) == "tutorial (ready)\n  url: http://x"
    assert "why" not in card._repr_html_()


def test_a_status_prints_each_change_once_where_nothing_updates_in_place(capsys):
    with Status() as status:
        status.show("cell 1 of 3", state="running")
        status.show("cell 1 of 3", state="running")
        status.show("done", state="succeeded")
    assert capsys.readouterr().out == "[running] cell 1 of 3\n[succeeded] done\n"


def test_an_error_becomes_one_line_and_keeps_its_type():
    error = one_line(ValueError("first\nsecond"))
    assert isinstance(error, ValueError)
    assert error._render_traceback_() == ["\x1b[31mfirst second\x1b[0m"]
