# Completion of jax-origin for bash, made by: jax-origin completion bash
_jax_origin() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local flag="" words="" front=""
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "COMMANDS" -- "$cur"))
        return
    fi
    # Bash takes --flag=value for three words, unless COMP_WORDBREAKS has no equals sign.
    if [[ $cur == "=" ]]; then
        flag=$before cur=""
    elif [[ $before == "=" ]]; then
        flag=${COMP_WORDS[COMP_CWORD-2]}
    elif [[ $cur == --*=* ]]; then
        flag=${cur%%=*} front=${cur%%=*}= cur=${cur#*=}
    fi
    if [[ -n $flag ]]; then
        case $command$flag in
        VALUES
        esac
        # Where nothing fits, readline completes files.
        COMPREPLY=($(compgen -P "$front" -W "$words" -- "$cur"))
        return
    fi
    if [[ $cur == -* ]]; then
        case $command in
        FLAGS
        esac
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
        return 0
    fi
    if [[ $COMP_CWORD -eq 2 ]]; then
        case $command in
        NAMELESS
        esac
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}
complete -o default -F _jax_origin jax-origin
