#compdef jax-origin
# Completion of jax-origin for zsh, made by: jax-origin completion zsh
_jax_origin() {
    local -a commands=(
    COMMANDS
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
        CASES
    esac
}
if [[ ${funcstack[1]} == _jax_origin ]]; then
    _jax_origin "$@"
else
    compdef _jax_origin jax-origin
fi
