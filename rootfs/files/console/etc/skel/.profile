# Settings of a login shell; bash reads ~/.bashrc otherwise.
if [ -n "$BASH_VERSION" ] && [ -r "$HOME/.bashrc" ]; then
  . "$HOME/.bashrc"
fi
