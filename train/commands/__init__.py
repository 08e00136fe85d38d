"""One module per group of commands; each `NAME_command(argv)` is `zoo NAME`."""
