"""How the speed figures were measured."""
