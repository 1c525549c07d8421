"""Submissions that find their socket: for themselves is all they can speak."""

from __future__ import annotations

import pytest

from tests.attacks.common import WRONG, reached, ways

FIND = """
import json, os, socket, stat, struct, torch
from vae_edu.grading.wall import wire
def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
def sockets():
    open_ones = [fd for fd in range(3, 256) if is_socket(fd)]
    return [socket.socket(fileno=os.dup(fd)) for fd in open_ones]
def frame(header, body=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("!II", len(text), len(body)) + text + body
def say(data):
    for s in sockets():
        try:
            s.setblocking(False)
            s.sendall(data)
        except OSError: pass
"""
ANSWER = """
def answer(value):
    from vae_edu.subject import Answer
    a, b = socket.socketpair()
    wire.send(a, wire.answer_message(Answer(value=value)))
    return b.recv(1 << 20)
"""
FORGED = {
    "a verdict": "say(frame({'!': 'dict', 'items': [['passed', True], ['score', 3]]}))",
    "an answer": "say(answer(torch.zeros(5)))",
    "many answers": "[say(answer(torch.ones(n))) for n in range(1, 9)]",
    "an endless number": "say(frame(b'9' * 100000))",
    "a deep list": "say(frame(b'[' * 100000))",
    "a list": "say(frame([1, 2, 3]))",
    "too large": "say(struct.pack('!II', 2**31, 2**31))",
    "truncated": "say(struct.pack('!II', 500, 500) + b'{')",
    "noise": "say(os.urandom(5000))",
    "a pickle": "import pickle; say(frame(pickle.dumps({'answer': 1})))",
    "object arrays": "say(frame({'!': 'dict', 'items': [['answer', "
    "{'!': 'tensor', 'd': 'object', 's': [2], 'm': False, 'at': 0}]]}, bytes(16)))",
    "pids": "[say(frame({'!': 'dict', 'items': [['pid', p]]})) for p in (0, -1, 1)]",
    "a wrong pid": "say(frame({'!': 'dict', 'items': [['pid', 'x']]}))",
    "descriptors": "[socket.send_fds(s, [b'x'], [0, 1, 2]) for s in sockets()]",
    "shut": "[s.shutdown(2) for s in sockets()]",
    "closed": "os.closerange(3, 256)",
    "an error in reply": "say(frame({'!': 'dict', 'items': [['error', "
    "{'!': 'dict', 'items': [['kind', 3], ['message', None]]}]]}))",
    "one tensor many times": "say(frame({'!': 'dict', 'items': [['answer', {'!': "
    "'dict', 'items': [['value', {'!': 'tuple', 'items': [{'!': 'tensor', 'd': "
    "'float64', 's': [10**5], 'm': False, 'at': 0}] * 5000}]]}]]}, bytes(8 * 10**5)))",
    "bytes of no tensor": "say(frame({'!': 'dict', 'items': [['answer', {'!': 'dict', "
    "'items': []}]]}, bytes(10**6)))",
    "an infinite shape": "say(frame({'!': 'dict', 'items': [['answer', {'!': 'dict', "
    "'items': [['shapes', [[float('inf')]]]]}]]}))",
    "a huge answer": "say(answer(torch.zeros(10**6)))",
    "a huge shape": "say(frame({'!': 'dict', 'items': [['answer', "
    "{'!': 'tensor', 'd': 'float32', 's': [10**9, 10**9], 'm': True, 'at': 0}]]}))",
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_when_asked(attack, name):
    source = FIND + ANSWER + WRONG.replace("return", FORGED[name] + "\n    return")
    result = attack(source, seconds=2)
    assert not result.passed
    assert result.score == 0
    assert all(failure["kind"] != "undecided" for failure in result.failures)


@pytest.mark.parametrize("name", ["a verdict", "an answer", "pids", "noise", "closed"])
def test_forged_before_any_question(attack, name):
    result = attack(FIND + ANSWER + FORGED[name] + "\n" + WRONG, seconds=2)
    assert not result.passed
    assert result.score == 0


@pytest.mark.parametrize("at_load", [True, False])
def test_who_does_not_listen_does_not_stop_the_judge(attack, at_load):
    deaf = "__import__('time').sleep(60)"
    source = (
        f"{deaf}\n{WRONG}" if at_load else WRONG.replace("return", f"{deaf}; return")
    )
    result = attack(source, seconds=0.7)
    assert "in time" in result.failures[0]["message"]


def test_no_socket_leads_past_the_own_session(attack):
    """One socket for the law, none to the zygote, the judge or another session."""
    source = FIND + ways(
        """
        @attempt
        def more_than_one():
            found = sockets()
            return found if len(found) > 1 else ""

        @attempt
        def other_descriptors():
            found = []
            for fd in range(3, 256):
                try:
                    mode = os.fstat(fd).st_mode
                except OSError:
                    continue
                if not stat.S_ISSOCK(mode):
                    found.append((fd, oct(mode)))
            return found
        """
    )
    assert reached(attack(source)) == ("[]", 2)
