# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What bash offers after "posternctl": commands and options as its own --help has them, backends as they are now.

_posternctl()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' words='' i
    local -a socket=()

    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -s | --socket) socket=(-s "${COMP_WORDS[++i]}") ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
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
}

complete -F _posternctl posternctl
