#!/usr/bin/env bash
# nbgrader 0.9.6: a test cell that passes, and in which Python warns, gets 0 points.
#
# What one expects: a cell is graded by whether it raises. What is: an output on stderr
# counts as a failure as an exception does (nbgrader/utils.py, determine_grade), so a
# DeprecationWarning in a right answer costs all the points of its test.
#
# Seen on 2026-11-30 with nbgrader 0.9.6, Python 3.11:
#   quiet: 2.0 of 2.0
#   warns: 0.0 of 2.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
  nbgrader==0.9.6 nbconvert==7.17.2 ipykernel==7.4.0 sqlalchemy==2.1.9
cat > try.py <<'PY'
"""Two right answers to one test, through nbgrader's own preprocessors."""
import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from nbconvert.preprocessors import ExecutePreprocessor
from nbgrader.utils import determine_grade


def graded(answer):
    test = {"grade": True, "solution": False, "locked": True, "points": 2,
            "grade_id": "test_f", "schema_version": 3, "task": False}
    cells = [new_code_cell(answer),
             new_code_cell("assert f(2) == 4", metadata={"nbgrader": test})]
    book = new_notebook(cells=cells)
    nbformat.validate(book)
    ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(book, {})
    return determine_grade(book.cells[1])


quiet = graded("def f(x):\n    return x * x\n")
warns = graded("import warnings\ndef f(x):\n    warnings.warn('slow')\n    return x * x\n")
for name, (points, most) in {"quiet": quiet, "warns": warns}.items():
    print(f"{name}: {points:.1f} of {most:.1f}")
assert quiet == (2.0, 2.0) or quiet == (2, 2), quiet
assert warns[0] == 0, warns
PY
venv/bin/python -m ipykernel install --sys-prefix --name python3 > /dev/null 2>&1
venv/bin/python -W ignore try.py
