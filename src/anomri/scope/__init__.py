"""Is this input what the model was made for? One look before preparation, one after; from the image itself."""

from anomri.scope.first_look import FirstLook, first_look
from anomri.scope.second_look import Limit, Scope, features, fit_scope, second_look

__all__ = ["FirstLook", "Limit", "Scope", "features", "first_look", "fit_scope", "second_look"]
