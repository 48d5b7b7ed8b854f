"""The program `xor-fast`, to which app.py adds its commands. Not public: the types of typer are not all complete."""

import typer

app = typer.Typer(
    name="xor-fast",
    help="XMPP without servers: a RELOAD (RFC 6940) overlay in which users find each other and talk (XEP-0415).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 no success (nobody found, no answer); 2 wrong use or configuration; 3 internal.",
)
