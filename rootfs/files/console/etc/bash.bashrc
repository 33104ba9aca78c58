# System-wide settings of interactive bash shells.
case $- in
*i*) ;;
*) return ;;
esac

shopt -s checkwinsize
HISTCONTROL=ignoreboth
if [ "$(id -u)" = 0 ]; then
  PS1='[\u@\h \W]# '
else
  PS1='[\u@\h \W]$ '
fi
alias ls='ls --color=auto'
