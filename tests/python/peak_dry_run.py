"""Peak's own command line, asked what it would send; its debug switch keeps it from the network before it knows of a dry run."""

import peak.config

peak.config.DEBUG_MODE = True

from peak.cli.cli import typer_app  # noqa: E402

typer_app()
