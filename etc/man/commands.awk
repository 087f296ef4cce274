# From the help of syncctl's commands, one after the other, to the part of syncctl(1) that names every
# command, in mdoc(7).
#
# A command's help is "usage: syncctl [OPTIONS] NAME ARGUMENTS", "NAME: what it does" and more lines;
# those that are indented by two blanks, with two between a word and what it means, are a list.

function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/`/, "\\(ga", text)
    gsub(/'/, "\\(aq", text)
    gsub(/~/, "\\(ti", text)
    if (text ~ /^\./) text = "\\&" text
    return text
}

# Each begins a line, so that the formatter sees where it ends.
function sentences(text) {
    text = escape(text)
    while (match(text, /[^.]\. +[^ ]/))
        text = substr(text, 1, RSTART + 1) "\n" substr(text, RSTART + RLENGTH - 1)
    return text
}

function sentence(text) { return toupper(substr(text, 1, 1)) substr(text, 2) (text ~ /\.$/ ? "" : ".") }

function end_list() {
    if (listing) print ".El"
    listing = 0
}

/^usage: syncctl / {
    end_list()
    sub(/^usage: syncctl \[OPTIONS\] /, "")
    name = $1
    arguments = substr($0, length(name) + 2)
    gsub(/"/, "\"\"", arguments)
    print ".It Ic " escape(name) (arguments == "" ? "" : " Ar \"" escape(arguments) "\"")
    summarized = 0
    blank = 0
    next
}

!summarized && index($0, name ": ") == 1 {
    text = substr($0, length(name) + 3)
    needs_daemon = sub(/ \(needs the daemon\)$/, "", text)
    print sentences(sentence(text))
    if (needs_daemon) print "Needs the daemon."
    summarized = 1
    next
}

/^ *$/ { blank = summarized; next }

/^  [^ ]/ && match(substr($0, 3), /   *[^ ]/) {
    if (!listing) print ".Bl -tag -width Ds -compact"
    listing = 1
    word = substr($0, 3, RSTART - 1)
    gsub(/"/, "\"\"", word)
    print ".It \"" escape(word) "\""
    text = substr($0, RSTART + 2)
    sub(/^ */, "", text)
    print sentences(text)
    next
}

/^   / { sub(/^ */, ""); print sentences($0); next }

{
    was_listing = listing
    end_list()
    if (blank || was_listing) print ".Pp"
    blank = 0
    print sentences($0)
}

END { end_list() }
