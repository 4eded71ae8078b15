# SPDX-License-Identifier: GPL-2.0
#
# Completion of the ttvm command for fish: install it in a folder of $fish_complete_path. Commands and options are asked of
# `ttvm ... --help`, so they are never stale.

# The words before the cursor: the program, the command, the command of `ttvm disk`, ...
function __ttvm_words
    commandline -opc
end

function __ttvm_needs_command
    set -l words (__ttvm_words)
    test (count $words) -eq 1
    or test (count $words) -eq 2 -a "$words[2]" = disk
end

function __ttvm_commands
    set -l words (__ttvm_words)
    $words --help 2>/dev/null | sed -nE '/^commands:$/,/^$/ s/^  ([a-z]+) +(.*)/\1\t\2/p'
end

function __ttvm_needs_option
    not __ttvm_needs_command
    and string match -q -- '-*' (commandline -ct)
end

# An option's argument stands one space behind it, or in brackets.
function __ttvm_options
    set -l words (__ttvm_words)
    set -l last 2
    test "$words[2]" = disk
    and set last 3
    $words[1..$last] --help 2>/dev/null |
        sed -nE 's/^ +((-[a-zA-Z]), )?(--[a-z-]+)(\[[^ ]*| [^ ]+)? +(.*)/\2\t\5\n\3\t\5/; T; s/^\t[^\n]*\n//; p'
end

complete -c ttvm -f -n __ttvm_needs_command -a '(__ttvm_commands)'
complete -c ttvm -n __ttvm_needs_option -a '(__ttvm_options)'
