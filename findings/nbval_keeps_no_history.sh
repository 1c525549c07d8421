#!/usr/bin/env bash
# nbval 0.11.0: what a notebook says of its own past is not there when nbval runs it.
#
# What one expects: a notebook just executed from top to bottom passes nbval, which runs
# it from top to bottom. What is: nbval asks the kernel to keep no history
# (nbval/kernel.py, execute_cell_input: store_history=False), so that In, Out and
# %history are empty and every cell is number 1; code that looks up its own cells or
# results, as Jupyter gives them, finds nothing.
#
# Seen on 2026-12-01 with nbval 0.11.0, nbconvert 7.17.2, ipykernel 7.4.0, Python 3.11:
#   nbconvert: 21.0, then 3 cells in In
#   nbval: the two cells that look back fail, the first one passes
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
  nbval==0.11.0 nbconvert==7.17.2 nbformat==5.10.4 ipykernel==7.4.0 pytest==8.4.2
venv/bin/python -m ipykernel install --sys-prefix --name python3 > /dev/null 2>&1
cat > make.py <<'PY'
"""A notebook of three cells, executed, its outputs kept."""
import nbformat
from nbconvert.preprocessors import ExecutePreprocessor
from nbformat.v4 import new_code_cell, new_notebook

cells = [new_code_cell(s) for s in ("21 * 2", "Out[1] / 2", "len(In) - 1")]
book = new_notebook(cells=cells)
ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(book, {})
half, count = (c.outputs[0].data["text/plain"] for c in book.cells[1:])
print(f"nbconvert: {half}, then {count} cells in In")
assert (half, count) == ("21.0", "3")
nbformat.write(book, "book.ipynb")
PY
venv/bin/python -W ignore make.py 2> /dev/null
venv/bin/python -m pytest --nbval --nbval-current-env -p no:cacheprovider -q book.ipynb > said 2>&1 && exit 1
grep -q "KeyError" said
grep -q "1 passed" said && grep -q "2 failed" said
echo "nbval: the two cells that look back fail, the first one passes"
