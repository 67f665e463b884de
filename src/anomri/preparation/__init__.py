"""Recorded, undoable steps from a scan as read to a scan ready for a method."""

from anomri.preparation.recipe import RECIPES, Recipe, recipe_named
from anomri.preparation.run import prepare

__all__ = ["RECIPES", "Recipe", "prepare", "recipe_named"]
