"""Networks of the four papers and their rivals, by name."""

from covidseg.models import infnet, miniseg, multiclass_unet, zoo  # noqa: F401  (they enter themselves in the registry)
from covidseg.models.registry import Card, card, create_model, list_models

__all__ = ["Card", "card", "create_model", "list_models"]
