"""What an answer says beside its result costs nothing, and stays out of the cell."""

from __future__ import annotations

import logging
import sys
import threading
import warnings

import pytest
import torch

from vae_edu.aside import caught
from vae_edu.feedback import check, judge
from vae_edu.grading.kernel import check_hidden


def right(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


def warns(mu, log_var):
    torch.tensor(mu)
    return right(mu, log_var)


def prints(mu, log_var):
    print("a line on stderr", file=sys.stderr)
    return right(mu, log_var)


def logs(mu, log_var):
    logging.getLogger("own").warning("a line in a log")
    return right(mu, log_var)


def from_a_thread(mu, log_var):
    line = {"target": print, "args": ("a late line",), "kwargs": {"file": sys.stderr}}
    thread = threading.Thread(**line)
    thread.start()
    thread.join()
    return right(mu, log_var)


SAYS = {
    warns: "UserWarning: To copy construct",
    prints: "a line on stderr",
    logs: "a line in a log",
    from_a_thread: "a late line",
}


@pytest.mark.parametrize("answer", SAYS)
def test_it_is_in_the_card_and_nowhere_else(answer, capsys, monkeypatch):
    words = SAYS[answer]
    monkeypatch.setattr(answer, "__name__", "gaussian_kl")
    handler = logging.StreamHandler(sys.stderr)  # holds the stream, as one made before
    logging.getLogger("own").addHandler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        check(answer)
        check_hidden(answer)
        shown = judge(answer)._repr_html_()
    logging.getLogger("own").removeHandler(handler)
    said = capsys.readouterr()
    assert said.err == ""
    assert "right. All" in said.out
    assert words in said.out
    assert words in shown
    assert said.out.count("\n") < 25


def test_a_quiet_answer_has_no_note():
    right.__name__ = "gaussian_kl"
    assert judge(right).note == ""


def test_the_streams_are_as_before(capsys):
    with caught() as outer:
        with caught() as inner:
            print("one", file=sys.stderr)
        print("two", file=sys.stderr)
        warnings.warn("three", stacklevel=1)
    print("four", file=sys.stderr)
    assert str(inner) == "one"
    assert str(outer) == "UserWarning: three\ntwo"
    assert capsys.readouterr().err == "four\n"


def test_an_exception_puts_them_back(capsys):
    with pytest.raises(ValueError, match="no"), caught():
        raise ValueError("no")
    print("after", file=sys.stderr)
    assert capsys.readouterr().err == "after\n"
