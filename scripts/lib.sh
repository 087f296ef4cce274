# shellcheck shell=bash
# Shared by the scripts beside it: where the project is, how to speak, what is installed.
# Sourced, never run.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly project

note() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# wait_until SECONDS COMMAND…: 0 as soon as the command succeeds, 1 when the time is over.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# process_started PID: when the kernel started it, in clock ticks since boot. With the pid it names
# one process for ever, so that a reused number is never taken for ours.
process_started() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    # The state is the 3rd field of the file and the first here; the start time is the 22nd.
    # shellcheck disable=SC2086
    set -- $stat
    [[ $1 != Z ]] || return 1
    printf '%s\n' "${20}"
}

# same_process PID STARTED: does the process that had this number when it was started still run?
same_process() { [[ -n $1 && -n $2 && $(process_started "$1") == "$2" ]]; }

# version_at_least HAVE WANT: compares dotted numbers.
version_at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# A python3 that can run the tests: 3.9 or newer, SQLite 3.37 or newer (STRICT), able to make a venv.
find_python() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import sys, sqlite3, venv, ensurepip
sys.exit(sys.version_info < (3, 9) or sqlite3.sqlite_version_info < (3, 37))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
    return 1
}

# make_venv PACKAGE[:MODULE]…: build/venv with these packages, reused when they are there already.
# MODULE: what is imported, where it is not the package's name.
make_venv() {
    local venv=$project/build/venv modules python
    modules=$(printf '%s\n' "${@##*:}" | tr - _ | paste -sd, -)
    set -- "${@%%:*}"
    if "$venv/bin/python" -c "import $modules" 2>/dev/null; then
        return
    fi
    python=$(find_python) || die "no python3 (3.9 or newer, with sqlite3 3.37 or newer) that can make" \
        "a virtual environment; install python3 and python3-venv: ./scripts/install-deps --with-tests"
    mkdir -p "$project/build"
    "$python" -m venv "$venv" >&2 || die "'$python -m venv build/venv' failed (see above)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2 ||
        die "pip could not install $* into build/venv (see above); is the package index reachable?"
}
