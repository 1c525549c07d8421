"""`vae-edu similar LESSON`: answers that are suspiciously alike, to look at.

A table, and never a grade: short exercises have few right forms, so two people may well
write the same. What is left out, therefore, is what the released notebook, the stubs
and the reference hold, and what many of the class have (`COMMON`); the rest counts the
more, the fewer have it. Equal comments, strings and odd blanks are listed beside it.

Why no library: copydetect (0.5.0, 2024), the nearest, winnows as well, but replaces
`exp` and `log` by one letter, so that every one-line closed form looks like the
reference; it leaves out given code, not what a class has in common; it compares all
pairs of files; and it brings matplotlib and a web report along. datasketch finds near
duplicates of long documents, where these answers have thirty tokens.

What belongs here: whose notebooks, which pairs, the report. What does not: how code
becomes fingerprints (`fingerprints`). No submission is imported or run.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from vae_edu import catalogue
from vae_edu.errors import CourseError
from vae_edu.grading.office import fingerprints
from vae_edu.grading.office.collect import course_folder, student_of
from vae_edu.grading.office.fingerprints import Looks
from vae_edu.grading.office.report import table
from vae_edu.grading.verdict.answers import cells_of, read
from vae_edu.grading.verdict.plain import printable
from vae_edu.lesson import find
from vae_edu.paths import course_root

ALIKE = 0.5  # share of the rarer fingerprints from which an answer is listed
FEWEST = 4  # fingerprints in common from which it is
COMMON = (10, 50)  # at least and at most, what 5 % of the class have is common
ODD = 5  # students with the same words, from which on they are common
WORDS_WEIGH = 2.0  # as many fingerprints
SHOWN = 10  # notebooks left out that are named

Pair = tuple[str, str]


@dataclass
class Hall:
    """The answers of a class: by exercise and student; `skipped` says why not."""

    students: list[str] = field(default_factory=list)
    answers: dict[str, dict[str, Looks]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """Two students' answers to one exercise.

    share: of the smaller answer's fingerprints that are not common, those that both
    have; shared: their number; others: students who have half of them too; words: equal
    comments, strings and oddly laid out lines; evidence: for the order alone.
    """

    students: Pair
    exercise: str
    share: float
    shared: int
    words: tuple[str, ...]
    evidence: float
    others: int = 0


def command(
    lesson: str,
    source: str | None,
    top: int,
    *,
    as_json: bool,
    course: str | None = None,
) -> int:
    """Print the `top` pairs; the exit status. CourseError without any submission.

    source: a folder of notebooks; None for what a course has in `submitted/`.
    """
    topic = catalogue.topic_of(lesson)
    handed_in = course_folder(course) / "submitted"
    hall = gather(notebooks(source, catalogue.folder_of(topic), handed_in), topic)
    if not hall.students and not hall.skipped:
        where = source or str(handed_in)
        raise CourseError(f"There is no notebook of this lesson in {where} (--from).")
    pairs = alike(hall)[: max(top, 0)]
    if as_json:
        print(json.dumps(as_data(topic, hall, pairs), indent=1))
    else:
        print(report(topic, hall, pairs))
    return 0


# --- whose notebooks ------------------------------------------------------------------


def notebooks(
    source: str | None, lesson: str, handed_in: Path
) -> Iterator[tuple[str, Path]]:
    """Each student and notebook, in `submitted/` or in a folder of downloads."""
    if source is None:
        folder = handed_in
        found = sorted(folder.glob(f"*/{lesson}/{lesson}.ipynb"))
    else:
        folder = Path(source).expanduser()
        if not folder.is_dir():
            raise CourseError(f"There is no folder {source!r} (--from).")
        found = sorted(p for p in folder.rglob("*.ipynb") if _of(p, folder, lesson))
    for path in found:
        yield student_of(path.relative_to(folder), lesson), path


def _of(path: Path, folder: Path, lesson: str) -> bool:
    """Whether a notebook may be of this lesson: no hidden one, no other lesson's."""
    parts = path.relative_to(folder).parts
    others = {catalogue.folder_of(t) for t in catalogue.TOPICS} - {lesson}
    hidden = any(p.startswith(".") or p == "__MACOSX" for p in parts)
    return not hidden and others.isdisjoint([*parts, path.stem])


def gather(found: Iterable[tuple[str, Path]], topic: str) -> Hall:
    """Read every notebook; all of one student's count together."""
    hall = Hall()
    pieces: dict[str, list[str]] = defaultdict(list)
    for student, path in found:
        if path.is_symlink():
            hall.skipped[student] = "it is a link"
        elif problem := (submission := read(path, None)).problem:
            hall.skipped[student] = problem
        else:
            pieces[student] += submission.pieces
    wanted = {e.name for e in catalogue.exercises_of(topic)}
    given = known(topic)
    for student, code in sorted(pieces.items()):
        hall.students.append(student)
        for name, seen in fingerprints.looks(code, wanted).items():
            own = Looks(seen.prints - given.prints, seen.words - given.words)
            hall.answers.setdefault(name, {})[student] = own
    return hall


def known(topic: str) -> Looks:
    """What everybody was given, and what the reference holds."""
    root, name = course_root(), catalogue.folder_of(topic)
    stubs = root / "vae_edu" / "exercises" / f"{topic}.py"
    files = [stubs, find(topic).file("exercises")]
    pieces = [f.read_text(encoding="utf-8") for f in files if f.exists()]
    released = root / "notebooks" / name / f"{name}.ipynb"
    if released.exists():
        pieces += cells_of(released.read_text(encoding="utf-8"))
    given = Looks()
    for piece in pieces:
        for definition in fingerprints.definitions(piece):
            given.add(definition)
    return given


# --- which pairs ----------------------------------------------------------------------


def alike(hall: Hall) -> list[list[Match]]:
    """The pairs with their matches, the most alike first."""
    pairs: dict[Pair, list[Match]] = defaultdict(list)
    for exercise, answers in hall.answers.items():
        for match in matches(exercise, answers, len(hall.students)):
            pairs[match.students].append(match)
    for found in pairs.values():
        found.sort(key=lambda m: -m.evidence)
    return sorted(
        pairs.values(), key=lambda ms: (-sum(m.evidence for m in ms), ms[0].students)
    )


def matches(exercise: str, answers: Mapping[str, Looks], size: int) -> Iterator[Match]:
    """The pairs of answers to one exercise that are alike, in a class of `size`.

    By an inverted index: only pairs with something uncommon in common are ever met.
    """
    least, most = COMMON
    prints = _index({s: a.prints for s, a in answers.items()})
    prints = _up_to(prints, min(max(least, size // 20), most))
    words = _up_to(_index({s: a.words for s, a in answers.items()}), ODD)
    own = Counter(s for students in prints.values() for s in students)
    weight, shared = _weighed(prints, size)
    said, common = _weighed(words, size)
    for pair in {**shared, **common}:
        share = shared[pair] / min(own[s] for s in pair) if shared[pair] else 0.0
        code = share >= ALIKE and shared[pair] >= FEWEST
        evidence = share * weight[pair] * code + WORDS_WEIGH * said[pair]
        if code or common[pair]:
            first, second = (answers[s] for s in pair)
            both = sorted(first.words & second.words & words.keys())
            alone = _others(pair, first.prints & second.prints, prints)
            found = (share, shared[pair], tuple(both), evidence, alone)
            yield Match(pair, exercise, *found)


def _index(answers: Mapping[str, Iterable[int | str]]) -> dict[int | str, list[str]]:
    """Who has what, the students in order."""
    index: dict[int | str, list[str]] = defaultdict(list)
    for student in sorted(answers):
        for part in answers[student]:
            index[part].append(student)
    return index


def _up_to(
    index: Mapping[int | str, list[str]], most: int
) -> dict[int | str, list[str]]:
    return {part: who for part, who in index.items() if len(who) <= most}


def _weighed(
    index: Mapping[int | str, Sequence[str]], size: int
) -> tuple[Counter[Pair], Counter[Pair]]:
    """For each pair what they share, the rarer the heavier; and how much of it."""
    weight: dict[Pair, float] = defaultdict(float)
    count: Counter[Pair] = Counter()
    for students in index.values():
        rarity = math.log((size + 1) / len(students))
        for pair in combinations(students, 2):
            weight[pair] += rarity
            count[pair] += 1
    return Counter(weight), count


def _others(
    pair: Pair, both: Iterable[int], index: Mapping[int | str, Sequence[str]]
) -> int:
    """How many other students have at least half of what a pair shares."""
    parts = [p for p in both if p in index]
    having = Counter(s for p in parts for s in index[p])
    return sum(2 * n >= len(parts) for s, n in having.items() if s not in pair)


# --- the report -----------------------------------------------------------------------


def report(topic: str, hall: Hall, pairs: Sequence[Sequence[Match]]) -> str:
    """The table, what was compared, and what was left out."""
    numbers = {e.name: e.card.number for e in catalogue.exercises_of(topic)}
    head = ("students", "exercise", "share", "in common", "others", "same words")
    rows = [head, *(row for found in pairs for row in _rows(found, numbers))]
    parts = [table(rows)] if pairs else ["No two answers are suspiciously alike."]
    parts.append(
        f"{len(hall.students)} students compared. share: of the smaller answer's "
        "fingerprints that\nare not common; others: students who have them too. Look "
        "at the answers themselves:\nsome exercises have few right forms."
    )
    if hall.skipped:
        named = [f"{_shown(s)} ({why})" for s, why in [*hall.skipped.items()][:SHOWN]]
        more = ", ..." if len(hall.skipped) > SHOWN else ""
        parts.append(f"{len(hall.skipped)} left out: {', '.join(named)}{more}")
    return "\n\n".join(parts)


def _rows(
    found: Sequence[Match], numbers: Mapping[str, str]
) -> Iterator[tuple[str, ...]]:
    for i, match in enumerate(found):
        names = " & ".join(map(_shown, match.students)) if i == 0 else ""
        exercise = f"{numbers[match.exercise]} {match.exercise}"
        words = _shown(match.words[0], 40) if match.words else ""
        more = f" (+{len(match.words) - 1})" if len(match.words) > 1 else ""
        counts = (f"{match.share:.0%}", str(match.shared), str(match.others))
        yield names, exercise, *counts, words + more


def _shown(text: str, longest: int = 30) -> str:
    """Text of a student's, short and on one line."""
    line = printable(text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def as_data(
    topic: str, hall: Hall, pairs: Sequence[Sequence[Match]]
) -> dict[str, object]:
    """The same as plain data, for JSON."""
    return {
        "lesson": catalogue.folder_of(topic),
        "compared": len(hall.students),
        "left_out": hall.skipped,
        "pairs": [
            {
                "students": found[0].students,
                "evidence": round(sum(m.evidence for m in found), 2),
                "exercises": [_match_data(match) for match in found],
            }
            for found in pairs
        ],
    }


def _match_data(match: Match) -> dict[str, object]:
    return {
        "name": match.exercise,
        "share": round(match.share, 3),
        "in_common": match.shared,
        "others": match.others,
        "same_words": match.words,
    }
