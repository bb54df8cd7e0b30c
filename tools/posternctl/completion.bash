# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What bash offers after "posternctl": commands and options as its own --help has them, backends as they are now.

_posternctl()
{
    local line=${COMP_LINE:0:COMP_POINT} current previous command='' words='' i
    local -a socket=() typed

    # Not COMP_WORDS: bash parts them at colons, and a backend may be named 192.0.2.1:25.
    read -ra typed <<<"$line"
    [[ $line != *[[:space:]] ]] || typed+=('')
    current=${typed[-1]} previous=${typed[-2]}
    for ((i = 1; i < ${#typed[@]} - 1; i++)); do
        case ${typed[i]} in
        -s | --socket) socket=(-s "${typed[++i]}") ;;
        -*) ;;
        *)
            command=${typed[i]}
            break
            ;;
        esac
    done
    case $previous in
    -s | --socket) [[ -n $command ]] || words=$(compgen -f -- "$current") ;;
    -b | --backend) words=$(posternctl "${socket[@]}" backends 2>/dev/null | cut -d' ' -f1) ;;
    --state) words='introducing queued connecting greeting relayed dissolved closing' ;;
    --class)
        words="other $(posternctl "${socket[@]}" limits 2>/dev/null | sed -n 's/^sessions of a client in \([^ ]*\) .*/\1/p')"
        ;;
    --client | -c | --older | --idle) ;;
    -f | --file) words=$(compgen -f -- "$current") ;;
    --only) words=$(posternctl doctor --list | cut -d' ' -f1) ;;
    *)
        case $command:$current in
        :-*) words='--socket --help --version' ;;
        :*) words=$(posternctl --help | sed -n 's/^  \([a-z]*\) .*/\1/p') ;;
        *:-*) words=$(posternctl "$command" --help 2>/dev/null | grep -o -e '--[a-z]*') ;;
        drain:* | maint:* | ready:* | weight:*)
            words=$(posternctl "${socket[@]}" backends 2>/dev/null | cut -d' ' -f1)
            ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    # What comes before the last colon stands there already.
    COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}")
}

complete -F _posternctl posternctl
