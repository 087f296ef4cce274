# The triggers go on noting every change when nobody reads the journal any more: say so, database by
# database. Part of the scripts that both packages run before they are removed.

# has_journal DATABASE: is its schema, which begins the file (or its -wal), still one with our journal?
has_journal() { head -qc 16777216 "$1" "$1-wal" 2>/dev/null | grep -aq _syncd_journal; }

for file in "$DPKG_ROOT"/etc/syncd/*.conf; do
    [ -f "$file" ] || continue
    database=$(sed -n 's/^[[:space:]]*database[[:space:]]*=[[:space:]]*//p' "$file" | tail -n 1 |
        sed 's/[[:space:]]*$//; s/^"\(.*\)"$/\1/')
    if [ -f "$database" ] && has_journal "$database"; then
        name=$(basename "$file" .conf)
        if [ "$name" = syncd ]; then option=''; else option=" --name $name"; fi
        echo "syncd: $database keeps its triggers, which go on noting changes up to journal_limit." \
            "To take them out: install the package again, run 'syncctl$option uninstall', remove it." >&2
    fi
done
