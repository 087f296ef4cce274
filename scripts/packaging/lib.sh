# shellcheck shell=bash
# Shared by the scripts that build packages: one build and one tree of files for each of them, the same
# bytes wherever and whenever it is done. Sourced, never run.

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$project" || exit
export LC_ALL=C TZ=UTC
umask 022

# Who answers for the packages: whoever builds them for others says so. Nobody reads mail at this one.
readonly nobody='The syncd authors <syncd@localhost.localdomain>'
PACKAGER=${PACKAGER:-$nobody}
packages=$project/build/packages

usage() {
    sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}

# take_arguments "$@": sets `version`.
take_arguments() {
    [[ ${1:-} == --version && $# == 2 ]] || usage
    version=$2
    # It goes into names of files and into the packages' own comparisons.
    [[ $version =~ ^[0-9]+(\.[0-9]+)*(~[a-z0-9]+)?$ ]] ||
        die "VERSION=$version is not a version such as 0.1.0 or 0.2.0~rc1"
    [[ -n ${SOURCE_DATE_EPOCH:-} ]] || die "SOURCE_DATE_EPOCH is not set; build by make deb or make rpm"
}

# stage DIRECTORY [VARIABLE=VALUE…]: builds and installs into it. The programs carry no name of the
# place where they were built, so that it does not matter.
stage() {
    local into=$1 objects=$packages/objects-$version
    shift
    # What carries the time of a commit may be of another one.
    rm -rf "$into" "$objects"/man/*.[1-8] "$objects/syncd.cdx.json"
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory -j"$(nproc)" WERROR=1 \
        VERSION="$version" BUILD="$objects" PREFIX=/usr SYSCONFDIR=/etc \
        CFLAGS="-ffile-prefix-map=$project=." "$@" all sbom
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory -s VERSION="$version" BUILD="$objects" \
        PREFIX=/usr SYSCONFDIR=/etc DESTDIR="$into" CFLAGS="-ffile-prefix-map=$project=." "$@" install
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$into/usr/sbin/syncd" \
        "$into/usr/bin/syncctl"
    install -D -m 0644 "$objects/syncd.cdx.json" "$into/usr/share/doc/syncd/syncd.cdx.json"
    gzip --no-name --best "$into"/usr/share/man/man*/*
}

# settle DIRECTORY: everything in it is as old as the last commit.
settle() { find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +; }

# with_triggers FILE: a script with the part in its place that both kinds of packages have.
with_triggers() { sed -e "/^#SAY-TRIGGERS#\$/{r $project/scripts/packaging/say-triggers.sh" -e 'd}' "$1"; }
