"""The checker that turns shape annotations into checks while tests run; an int passes for a float, as type checkers have it."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
