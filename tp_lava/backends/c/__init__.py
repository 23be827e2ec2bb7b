"""The C back end: programs and whole fixed-point circuits as portable C99, integers alone, no allocation."""

from tp_lava.backends.c.compiled import C as C
from tp_lava.backends.c.library import CLibrary as CLibrary
from tp_lava.backends.c.library import c_library as c_library
