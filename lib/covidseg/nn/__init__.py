"""Networks of the four papers and their rivals, by name."""

from covidseg.nn.registry import Card, card, create_model, list_models

__all__ = ["Card", "card", "create_model", "list_models"]
