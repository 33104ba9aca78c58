# Settings of an interactive shell.
[ -r /etc/bash.bashrc ] && . /etc/bash.bashrc
