"""What a section's secret is."""

from collections.abc import Mapping

from rungwise_server.config.settings import Secret, Settings
from rungwise_server.errors import SetupError


def secret(holder: Secret, settings: Settings, environ: Mapping[str, str]) -> str:
    """The secret that a section names; empty where it names none, or a variable that is not set. A file's path is
    relative to the configuration's folder.

    Raises:
        SetupError: the file that it names cannot be read.
    """
    if holder.api_key_file:
        try:
            return (settings.base / holder.api_key_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SetupError(f"cannot read the key file {holder.api_key_file}: {error.strerror}") from None
    return environ.get(holder.api_key_env, "") if holder.api_key_env else ""
