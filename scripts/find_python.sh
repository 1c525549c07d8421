#!/bin/sh
# Print a Python that can run the course, or one clear error. Asked, in this order:
# $PYTHON alone where it is set; else the course's own .venv; else what PATH has.
# "Works" is tried, not assumed: some names on PATH only print that nothing is there.

if [ -n "$PYTHON" ]; then
    candidates=$PYTHON
else
    candidates=".venv/bin/python python3.13 python3.12 python3.11 python3 python"
fi

found= without_venv=
for python in $candidates; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
        2>/dev/null) || continue
    case $version in
    3.11 | 3.12 | 3.13)
        if "$python" -c 'import venv, ensurepip' 2>/dev/null ||
            uv --version >/dev/null 2>&1; then
            echo "$python"
            exit 0
        fi
        without_venv=$version
        ;;
    *) found="$found $python ($version)" ;;
    esac
done

if [ -n "$without_venv" ]; then
    echo "error: Python $without_venv is here, but without its venv module. On Debian" \
        "or Ubuntu: sudo apt-get install python$without_venv-venv" >&2
else
    echo "error: the course needs Python 3.11, 3.12 or 3.13; found:${found:- none}." \
        "Install one of them, or name it: make lab PYTHON=/path/to/python3.12" >&2
fi
exit 1
